package main

import (
	"fmt"
	"regexp"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var jobSetKind = schema.GroupKind{Group: "jobset.x-k8s.io", Kind: "JobSet"}

// What JobSet's webhook takes as the reason of a failed Job.
var failureReasons = []string{
	batchv1.JobReasonBackoffLimitExceeded,
	batchv1.JobReasonDeadlineExceeded,
	batchv1.JobReasonFailedIndexes,
	batchv1.JobReasonMaxFailedIndexesExceeded,
	batchv1.JobReasonPodFailurePolicy,
}

// The name of a rule, for JobSet's webhook.
var ruleName = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

// The part of a JobSet that is checked here.
type jobSet struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ReplicatedJobs []replicatedJob `json:"replicatedJobs"`
		SuccessPolicy  struct {
			TargetReplicatedJobs []string `json:"targetReplicatedJobs"`
		} `json:"successPolicy"`
		FailurePolicy struct {
			Rules []failureRule `json:"rules"`
		} `json:"failurePolicy"`
		Network struct {
			Subdomain string `json:"subdomain"`
		} `json:"network"`
	} `json:"spec"`
}

type replicatedJob struct {
	Name      string                  `json:"name"`
	Replicas  int32                   `json:"replicas"`
	Template  batchv1.JobTemplateSpec `json:"template"`
	DependsOn []struct {
		Name string `json:"name"`
	} `json:"dependsOn"`
}

type failureRule struct {
	Name                        string   `json:"name"`
	TargetReplicatedJobs        []string `json:"targetReplicatedJobs"`
	OnJobFailureReasons         []string `json:"onJobFailureReasons"`
	OnJobFailureMessagePatterns []string `json:"onJobFailureMessagePatterns"`
}

// checkJobSet finds what the schema lets pass: what JobSet's webhook refuses, and what only fails when the
// controller creates the Jobs, where an API server accepts the JobSet and nothing comes of it.
func checkJobSet(object *unstructured.Unstructured) field.ErrorList {
	var set jobSet
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &set); err != nil {
		return decodingErrors(err)
	}
	spec := field.NewPath("spec")
	found := append(set.checkNames(spec), set.checkPolicies(spec)...)
	for i, each := range set.Spec.ReplicatedJobs {
		job := each.job(&set)
		for _, problem := range checkJob(job) {
			problem.Field = spec.Child("replicatedJobs").Index(i).Child("template").String() + "." + problem.Field
			found = append(found, problem)
		}
	}
	return found
}

// checkNames finds names of Jobs, pods and the Service that are no DNS labels.
func (s *jobSet) checkNames(spec *field.Path) field.ErrorList {
	var found field.ErrorList
	seen := []string{}
	for i, each := range s.Spec.ReplicatedJobs {
		path := spec.Child("replicatedJobs").Index(i)
		completions := int32(1)
		if each.Template.Spec.Completions != nil {
			completions = *each.Template.Spec.Completions
		}
		// A pod's name ends with an index and five letters.
		job := fmt.Sprintf("%s-%s-%d", s.Name, each.Name, max(each.Replicas, 1)-1)
		pod := fmt.Sprintf("%s-%d-abcde", job, max(completions, 1)-1)
		for _, message := range validation.IsDNS1035Label(pod) {
			found = append(found, field.Invalid(path.Child("name"), pod, "the name of a pod "+message))
		}
		for j, other := range each.DependsOn {
			if !slices.Contains(seen, other.Name) {
				found = append(found, field.NotSupported(
					path.Child("dependsOn").Index(j).Child("name"), other.Name, seen))
			}
		}
		seen = append(seen, each.Name)
	}
	if subdomain := s.Spec.Network.Subdomain; subdomain != "" {
		for _, message := range validation.IsDNS1035Label(subdomain) {
			found = append(found, field.Invalid(spec.Child("network", "subdomain"), subdomain, message))
		}
	}
	return found
}

// checkPolicies finds policies that name what there is not.
func (s *jobSet) checkPolicies(spec *field.Path) field.ErrorList {
	var found field.ErrorList
	names := []string{}
	for _, each := range s.Spec.ReplicatedJobs {
		names = append(names, each.Name)
	}
	among := func(path *field.Path, values, allowed []string) {
		for i, value := range values {
			if !slices.Contains(allowed, value) {
				found = append(found, field.NotSupported(path.Index(i), value, allowed))
			}
		}
	}
	among(spec.Child("successPolicy", "targetReplicatedJobs"), s.Spec.SuccessPolicy.TargetReplicatedJobs, names)
	rules := map[string]bool{}
	for i, rule := range s.Spec.FailurePolicy.Rules {
		path := spec.Child("failurePolicy", "rules").Index(i)
		among(path.Child("targetReplicatedJobs"), rule.TargetReplicatedJobs, names)
		among(path.Child("onJobFailureReasons"), rule.OnJobFailureReasons, failureReasons)
		for j, pattern := range rule.OnJobFailureMessagePatterns {
			if _, err := regexp.Compile(pattern); err != nil {
				found = append(found, field.Invalid(
					path.Child("onJobFailureMessagePatterns").Index(j), pattern, err.Error()))
			}
		}
		if rule.Name == "" {
			continue // the webhook numbers it
		}
		if rules[rule.Name] {
			found = append(found, field.Duplicate(path.Child("name"), rule.Name))
		}
		rules[rule.Name] = true
		if !ruleName.MatchString(rule.Name) {
			found = append(found, field.Invalid(path.Child("name"), rule.Name, "must match "+ruleName.String()))
		}
	}
	return found
}

// job is the first of the Jobs that JobSet makes of a replicated one, with the defaults of its webhook.
func (r *replicatedJob) job(set *jobSet) *batchv1.Job {
	job := &batchv1.Job{ObjectMeta: *r.Template.ObjectMeta.DeepCopy(), Spec: *r.Template.Spec.DeepCopy()}
	job.Name = fmt.Sprintf("%s-%s-0", set.Name, r.Name)
	job.Namespace = set.Namespace
	if job.Spec.CompletionMode == nil {
		indexed := batchv1.IndexedCompletion
		job.Spec.CompletionMode = &indexed
	}
	if job.Spec.Template.Spec.RestartPolicy == "" {
		job.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	}
	return job
}
