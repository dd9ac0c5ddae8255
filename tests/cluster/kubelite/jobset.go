package main

import (
	"crypto/tls"

	"k8s.io/apimachinery/pkg/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	jobset "sigs.k8s.io/jobset/api/jobset/v1alpha2"
	"sigs.k8s.io/jobset/pkg/controllers"
	"sigs.k8s.io/jobset/pkg/webhooks"
)

// runJobSet runs JobSet's controllers and webhooks on loopback, until the process ends.
func runJobSet(config *rest.Config, certs string, port int) {
	ctrl.SetLogger(zap.New())
	scheme := runtime.NewScheme()
	check(clientscheme.AddToScheme(scheme))
	check(jobset.AddToScheme(scheme))
	manager := must(ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme,
		Metrics:                metrics.Options{BindAddress: "0"},
		HealthProbeBindAddress: "0",
		WebhookServer: webhook.NewServer(webhook.Options{
			Host:    "127.0.0.1",
			Port:    port,
			CertDir: certs,
			TLSOpts: []func(*tls.Config){func(config *tls.Config) { config.NextProtos = []string{"http/1.1"} }},
		}),
	}))
	ctx := ctrl.SetupSignalHandler()
	client := manager.GetClient()
	check(controllers.SetupJobSetIndexes(ctx, manager.GetFieldIndexer()))
	check(controllers.SetupPodIndexes(ctx, manager.GetFieldIndexer()))
	check(controllers.NewJobSetReconciler(
		client, scheme, manager.GetEventRecorderFor("jobset")).SetupWithManager(manager))
	check(controllers.NewPodReconciler(
		client, scheme, manager.GetEventRecorderFor("pod")).SetupWithManager(manager))
	check(must(webhooks.NewJobSetWebhook(client)).SetupWebhookWithManager(manager))
	check(webhooks.NewPodWebhook(client).SetupWebhookWithManager(manager))
	check(manager.Start(ctx))
}
