package main

import (
	"context"
	"time"

	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/pkg/controller/cronjob"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/disruption"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/replicaset"
)

// runControllers runs some of kube-controller-manager's controllers, until the process ends.
func runControllers(config *rest.Config) {
	ctx := context.Background()
	client := kubernetes.NewForConfigOrDie(config)
	discovery := client.Discovery()
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(discovery))
	scales := must(scale.NewForConfig(
		config, mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(discovery)))
	shared := informers.NewSharedInformerFactory(client, 0)
	anyKind := informerfactory.NewInformerFactory(
		shared, metadatainformer.NewSharedInformerFactory(must(metadata.NewForConfig(config)), 0))
	started := make(chan struct{})
	core, batch, apps := shared.Core().V1(), shared.Batch().V1(), shared.Apps().V1()

	jobs := must(job.NewController(ctx, core.Pods(), batch.Jobs(), client))
	cronJobs := must(cronjob.NewControllerV2(ctx, batch.Jobs(), batch.CronJobs(), client))
	deployments := must(deployment.NewDeploymentController(
		ctx, apps.Deployments(), apps.ReplicaSets(), core.Pods(), client))
	replicaSets := replicaset.NewReplicaSetController(ctx, apps.ReplicaSets(), core.Pods(), client, 500)
	budgets := disruption.NewDisruptionController(
		ctx, core.Pods(), shared.Policy().V1().PodDisruptionBudgets(), core.ReplicationControllers(),
		apps.ReplicaSets(), apps.Deployments(), apps.StatefulSets(), client, mapper, scales, discovery)
	garbage := must(garbagecollector.NewGarbageCollector(
		ctx, client, must(metadata.NewForConfig(config)), mapper,
		garbagecollector.DefaultIgnoredResources(), anyKind, started))

	go jobs.Run(ctx, 5)
	go cronJobs.Run(ctx, 1)
	go deployments.Run(ctx, 2)
	go replicaSets.Run(ctx, 2)
	go budgets.Run(ctx)
	go garbage.Run(ctx, 10, 30*time.Second)
	go garbage.Sync(ctx, discovery, 3*time.Second)
	shared.Start(ctx.Done())
	anyKind.Start(ctx.Done())
	close(started)
	select {}
}
