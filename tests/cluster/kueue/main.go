// Kueue's controllers, scheduler and webhooks, set up as Kueue's own manager does it:
//
//	kueue -kubeconfig FILE -config FILE
//
// The config is Kueue's. Left out is what the tests' clusters have not: other kinds of jobs than Jobs and JobSets, other
// clusters, and a server of metrics. It is a module of its own, as Kueue is built with a later
// controller-runtime than JobSet's webhooks.
package main

import (
	"context"
	"flag"
	"log"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	autoscaling "k8s.io/autoscaler/cluster-autoscaler/apis/provisioningrequest/autoscaling.x-k8s.io/v1"
	"k8s.io/client-go/discovery"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	jobset "sigs.k8s.io/jobset/api/jobset/v1alpha2"

	configapi "sigs.k8s.io/kueue/apis/config/v1beta2"
	kueuev1beta1 "sigs.k8s.io/kueue/apis/kueue/v1beta1"
	kueuev1beta2 "sigs.k8s.io/kueue/apis/kueue/v1beta2"
	qcache "sigs.k8s.io/kueue/pkg/cache/queue"
	schdcache "sigs.k8s.io/kueue/pkg/cache/scheduler"
	"sigs.k8s.io/kueue/pkg/config"
	"sigs.k8s.io/kueue/pkg/constants"
	"sigs.k8s.io/kueue/pkg/controller/admissionchecks/provisioning"
	"sigs.k8s.io/kueue/pkg/controller/core"
	"sigs.k8s.io/kueue/pkg/controller/core/indexer"
	"sigs.k8s.io/kueue/pkg/controller/jobframework"
	_ "sigs.k8s.io/kueue/pkg/controller/jobs/job"
	_ "sigs.k8s.io/kueue/pkg/controller/jobs/jobset"
	"sigs.k8s.io/kueue/pkg/controller/tas"
	tasindexer "sigs.k8s.io/kueue/pkg/controller/tas/indexer"
	"sigs.k8s.io/kueue/pkg/scheduler"
	"sigs.k8s.io/kueue/pkg/scheduler/preemption/expectations"
	"sigs.k8s.io/kueue/pkg/util/kubeversion"
	"sigs.k8s.io/kueue/pkg/webhooks"
)

func main() {
	file := flag.String("config", "", "Kueue's Configuration; -kubeconfig is controller-runtime's own flag")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientscheme.AddToScheme, jobset.AddToScheme, configapi.AddToScheme,
		kueuev1beta1.AddToScheme, kueuev1beta2.AddToScheme, autoscaling.AddToScheme,
	} {
		check(add(scheme))
	}
	options, settings, err := config.Load(scheme, *file)
	check(err)
	config.AddWebhookSettingsTo(&options, &settings)
	kubeconfig := ctrl.GetConfigOrDie()
	kubeconfig.QPS, kubeconfig.Burst = *settings.ClientConnection.QPS, int(*settings.ClientConnection.Burst)
	manager := must(ctrl.NewManager(kubeconfig, options))
	ctx := ctrl.SetupSignalHandler()
	setUp(ctx, manager, &settings)
	check(manager.Start(ctx))
}

// setUp adds Kueue's parts to a manager.
func setUp(ctx context.Context, manager ctrl.Manager, settings *configapi.Configuration) {
	client, frameworks := manager.GetClient(), settings.Integrations.Frameworks
	preemptions, requeuer := expectations.New(), qcache.NewRequeuer()
	check(manager.Add(requeuer))
	cache := schdcache.New(client)
	queues := qcache.NewManager(client, cache, requeuer, qcache.WithPreemptionExpectations(preemptions))
	version := kubeversion.NewServerVersionFetcher(must(discovery.NewDiscoveryClientForConfig(manager.GetConfig())))
	check(version.FetchServerVersion())
	check(manager.Add(version))

	check(indexer.Setup(ctx, manager.GetFieldIndexer()))
	check(tasindexer.SetupIndexes(ctx, manager.GetFieldIndexer()))
	check(provisioning.SetupIndexer(ctx, manager.GetFieldIndexer()))
	check(jobframework.SetupIndexes(ctx, manager.GetFieldIndexer(), jobframework.WithEnabledFrameworks(frameworks)))

	must(core.SetupControllers(manager, queues, cache, settings, nil, preemptions, nil))
	must(tas.SetupControllers(manager, queues, cache, settings, nil))
	check(must(provisioning.NewController(
		client, manager.GetEventRecorderFor("kueue-provisioning"), nil)).SetupWithManager(manager))
	check(jobframework.SetupControllers(ctx, manager, ctrl.Log,
		jobframework.WithEnabledFrameworks(frameworks),
		jobframework.WithManageJobsWithoutQueueName(settings.ManageJobsWithoutQueueName),
		jobframework.WithManagedJobsNamespaceSelector(
			must(metav1.LabelSelectorAsSelector(settings.ManagedJobsNamespaceSelector))),
		jobframework.WithKubeServerVersion(version),
		jobframework.WithManagerName(constants.KueueName),
		jobframework.WithCache(cache),
		jobframework.WithQueues(queues),
	))
	must(webhooks.Setup(manager, nil))

	go queues.CleanUpOnContext(ctx)
	go cache.CleanUpOnContext(ctx)
	check(manager.Add(scheduler.New(
		queues, cache, client, manager.GetEventRecorderFor(constants.AdmissionName),
		scheduler.WithPreemptionExpectations(preemptions))))
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
