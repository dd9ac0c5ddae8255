package main

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/kubernetes/pkg/apis/rbac"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	rbacvalidation "k8s.io/kubernetes/pkg/apis/rbac/validation"
	"k8s.io/kubernetes/pkg/apis/scheduling"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	schedulingvalidation "k8s.io/kubernetes/pkg/apis/scheduling/validation"
)

// The API server invents these for a Job.
const someUID = "00000000-0000-4000-8000-000000000000"

var decoder = serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder()

// checkBuiltin decodes a manifest of Kubernetes' own kinds, with defaults, and validates it.
func checkBuiltin(document []byte) field.ErrorList {
	object, _, err := decoder.Decode(document, nil, nil)
	if err != nil {
		return decodingErrors(err)
	}
	if err := prepare(object); err != nil {
		return decodingErrors(err)
	}
	return validate(object)
}

// prepare sets what the API server sets before it validates: a namespace, a generated name.
func prepare(object runtime.Object) error {
	about, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	if about.GetNamespace() == "" && !ofCluster(object) {
		about.SetNamespace("default")
	}
	if about.GetName() == "" && about.GetGenerateName() != "" {
		about.SetName(about.GetGenerateName() + "abcde")
	}
	return nil
}

// ofCluster tells whether objects of the kind have no namespace.
func ofCluster(object runtime.Object) bool {
	switch object.(type) {
	case *core.Namespace, *core.PersistentVolume, *rbac.ClusterRole, *rbac.ClusterRoleBinding, *scheduling.PriorityClass:
		return true
	}
	return false
}

func validate(object runtime.Object) field.ErrorList {
	switch o := object.(type) {
	case *apps.Deployment:
		return appsvalidation.ValidateDeployment(o, ofTemplate(&o.Spec.Template))
	case *apps.ReplicaSet:
		return appsvalidation.ValidateReplicaSet(o, ofTemplate(&o.Spec.Template))
	case *apps.DaemonSet:
		return appsvalidation.ValidateDaemonSet(o, ofTemplate(&o.Spec.Template))
	case *autoscaling.HorizontalPodAutoscaler:
		return autoscalingvalidation.ValidateHorizontalPodAutoscaler(
			o, autoscalingvalidation.HorizontalPodAutoscalerSpecValidationOptions{MinReplicasLowerBound: 1})
	case *batch.Job:
		return validateJob(o)
	case *batch.CronJob:
		return batchvalidation.ValidateCronJobCreate(o, ofTemplate(&o.Spec.JobTemplate.Spec.Template))
	case *core.ConfigMap:
		return corevalidation.ValidateConfigMap(o)
	case *core.LimitRange:
		return corevalidation.ValidateLimitRange(o)
	case *core.Namespace:
		return corevalidation.ValidateNamespace(o)
	case *core.PersistentVolume:
		return corevalidation.ValidatePersistentVolume(o, corevalidation.ValidationOptionsForPersistentVolume(o, nil))
	case *core.PersistentVolumeClaim:
		return corevalidation.ValidatePersistentVolumeClaim(
			o, corevalidation.ValidationOptionsForPersistentVolumeClaim(o, nil))
	case *core.Pod:
		return corevalidation.ValidatePodCreate(
			o, podutil.GetValidationOptionsFromPodSpecAndMeta(&o.Spec, nil, &o.ObjectMeta, nil))
	case *core.ResourceQuota:
		return corevalidation.ValidateResourceQuota(o)
	case *core.Secret:
		return corevalidation.ValidateSecret(o)
	case *core.Service:
		return corevalidation.ValidateServiceCreate(o)
	case *core.ServiceAccount:
		return corevalidation.ValidateServiceAccount(o)
	case *networking.Ingress:
		return networkingvalidation.ValidateIngressCreate(o)
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(o, networkingvalidation.NetworkPolicyValidationOptions{})
	case *policy.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(o, policyvalidation.PodDisruptionBudgetValidationOptions{})
	case *rbac.ClusterRole:
		return rbacvalidation.ValidateClusterRole(o, rbacvalidation.ClusterRoleValidationOptions{})
	case *rbac.ClusterRoleBinding:
		return rbacvalidation.ValidateClusterRoleBinding(o)
	case *rbac.Role:
		return rbacvalidation.ValidateRole(o)
	case *rbac.RoleBinding:
		return rbacvalidation.ValidateRoleBinding(o)
	case *scheduling.PriorityClass:
		return schedulingvalidation.ValidatePriorityClass(o)
	}
	return decodingErrors(fmt.Errorf("no validation of this kind (%T) is known here; add it to builtin.go", object))
}

func ofTemplate(template *core.PodTemplateSpec) corevalidation.PodValidationOptions {
	return podutil.GetValidationOptionsFromPodTemplate(template, nil)
}

// validateJob validates a Job with the selector and labels that the API server generates for it.
func validateJob(job *batch.Job) field.ErrorList {
	if job.Spec.ManualSelector == nil || !*job.Spec.ManualSelector {
		generateSelector(job)
	}
	return batchvalidation.ValidateJob(job, batchvalidation.JobValidationOptions{
		PodValidationOptions:  ofTemplate(&job.Spec.Template),
		RequirePrefixedLabels: true,
	})
}
