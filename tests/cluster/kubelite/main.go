// One program with the parts of a Kubernetes cluster that a launch needs, each of which is a process of its own:
//
//	kubelite etcd|kube-apiserver|kube-scheduler [FLAG…]      with that program's own flags
//	kubelite controllers -kubeconfig FILE                    of Jobs, CronJobs, Deployments, budgets; garbage
//	kubelite jobset -kubeconfig FILE -certs FOLDER -port N   JobSet's controllers and webhooks
//
// There is no kubelet: the tests run the containers' commands as processes.
package main

import (
	"flag"
	"log"
	"os"
	_ "time/tzdata" // CronJobs name time zones, which the machine need not have

	etcd "go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: kubelite etcd|kube-apiserver|kube-scheduler|controllers|jobset [FLAG…]")
	}
	part := os.Args[1]
	os.Args = os.Args[1:]
	switch part {
	case "etcd":
		etcd.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "controllers":
		runControllers(clientConfig(part, nil))
	case "jobset":
		certs, port := "", 0
		runJobSet(clientConfig(part, func(flags *flag.FlagSet) {
			flags.StringVar(&certs, "certs", "", "folder of tls.crt and tls.key")
			flags.IntVar(&port, "port", 9443, "of the webhooks")
		}), certs, port)
	default:
		log.Fatalf("there is no part %q", part)
	}
}

// clientConfig reads the flags of a part, and the kubeconfig that they name.
func clientConfig(part string, further func(*flag.FlagSet)) *rest.Config {
	flags := flag.NewFlagSet(part, flag.ExitOnError)
	file := flags.String("kubeconfig", "", "how to reach the API server")
	if further != nil {
		further(flags)
	}
	check(flags.Parse(os.Args[1:]))
	config := must(clientcmd.BuildConfigFromFlags("", *file))
	config.QPS, config.Burst = 1000, 1000
	return config
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}
