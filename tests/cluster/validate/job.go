package main

import (
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
)

// generateSelector does what the API server does for a Job without a selector (registry/batch/job/strategy.go).
func generateSelector(job *batch.Job) {
	job.UID = someUID
	if job.Spec.Selector == nil {
		job.Spec.Selector = &metav1.LabelSelector{}
	}
	if job.Spec.Selector.MatchLabels == nil {
		job.Spec.Selector.MatchLabels = map[string]string{}
	}
	setMissing(job.Spec.Selector.MatchLabels, batch.ControllerUidLabel, someUID)
	labels := &job.Spec.Template.Labels
	if *labels == nil {
		*labels = map[string]string{}
	}
	for _, name := range []string{batch.LegacyJobNameLabel, batch.JobNameLabel} {
		setMissing(*labels, name, job.Name)
	}
	for _, name := range []string{batch.LegacyControllerUidLabel, batch.ControllerUidLabel} {
		setMissing(*labels, name, someUID)
	}
}

func setMissing(labels map[string]string, name, value string) {
	if _, ok := labels[name]; !ok {
		labels[name] = value
	}
}

// checkJob validates a Job that a controller would create.
func checkJob(job *batchv1.Job) field.ErrorList {
	legacyscheme.Scheme.Default(job)
	var internal batch.Job
	if err := legacyscheme.Scheme.Convert(job, &internal, nil); err != nil {
		return decodingErrors(err)
	}
	return validateJob(&internal)
}
