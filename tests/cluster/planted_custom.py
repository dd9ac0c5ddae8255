"""Errors planted into manifests of custom kinds: against their schema, or beyond it."""

import copy
from collections.abc import Callable
from typing import Any

from tests.cluster import manifests
from tests.cluster.manifests import Manifest
from tests.cluster.planted import TWO, plant, put, spec

_SLICE = "spec.replicatedJobs[0].template.spec"


def _job(*path: Any) -> Callable[[Manifest], None]:
    """Of a JobSet: its first replicated Job's spec."""
    return spec("replicatedJobs", 0, "template", "spec", *path)


def _hosts(*path: Any) -> Callable[[Manifest], None]:
    """Of a JobSet: its pods' spec."""
    return _job("template", "spec", *path)


def _twice(manifest: Manifest) -> None:
    jobs = manifest["spec"]["replicatedJobs"]
    jobs.append(copy.deepcopy(jobs[0]))


CUSTOM = (
    plant(
        "JobSet: unknown field",
        manifests.job_set,
        spec("failurePolicy", "maxRestart", 3),
        "spec.failurePolicy.maxRestart",
        "unknown field",
    ),
    plant(
        "JobSet: unknown field of a pod",
        manifests.job_set,
        _hosts("nodeSelectors", {}),
        f"{_SLICE}.template.spec.nodeSelectors",
        "unknown field",
    ),
    plant(
        "JobSet: misspelt action",
        manifests.job_set,
        spec("failurePolicy", "rules", 0, "action", "FailJobset"),
        "spec.failurePolicy.rules[0].action",
        "Unsupported value",
    ),
    plant(
        "JobSet: two replicated Jobs of one name",
        manifests.job_set,
        _twice,
        "spec.replicatedJobs[1]",
        "Duplicate value",
    ),
    plant(
        "Kueue: quota of a resource that the group does not cover",
        manifests.cluster_queue,
        spec("resourceGroups", 0, "coveredResources", ["google.com/tpu", "cpu"]),
        "spec.resourceGroups[0]",
        "flavors must have the same number of resources as the coveredResources",
    ),
    plant(
        "Kueue: unknown field",
        manifests.local_queue,
        spec("clusterqueue", "tpus"),
        "spec.clusterqueue",
        "unknown field",
    ),
    plant(
        "HTTPRoute: weight below 0",
        manifests.http_route,
        spec("rules", 0, "backendRefs", 0, "weight", -1),
        "spec.rules[0].backendRefs[0].weight",
        "should be greater than or equal to 0",
    ),
    plant(
        "PodMonitor: scheme that there is not",
        manifests.pod_monitor,
        spec("podMetricsEndpoints", 0, "scheme", "ftp"),
        "spec.podMetricsEndpoints[0].scheme",
        "Unsupported value",
    ),
    plant(
        "PrometheusRule: alert without an expression",
        manifests.prometheus_rule,
        lambda it: it["spec"]["groups"][0]["rules"][0].pop("expr"),
        "spec.groups[0].rules[0].expr",
        "Required value",
    ),
)
"""Errors against the definitions of custom kinds."""

WEBHOOK = (
    plant(
        "JobSet: success of a replicated Job that there is not",
        manifests.job_set,
        spec("successPolicy", "targetReplicatedJobs", ["worker"]),
        "spec.successPolicy.targetReplicatedJobs[0]",
        "Unsupported value",
    ),
    plant(
        "JobSet: rule for a replicated Job that there is not",
        manifests.job_set,
        spec("failurePolicy", "rules", 0, "targetReplicatedJobs", ["nope"]),
        "spec.failurePolicy.rules[0].targetReplicatedJobs[0]",
        "Unsupported value",
    ),
    plant(
        "JobSet: reason that no Job fails for",
        manifests.job_set,
        spec("failurePolicy", "rules", 0, "onJobFailureReasons", ["PodFailurePolicyX"]),
        "spec.failurePolicy.rules[0].onJobFailureReasons[0]",
        "Unsupported value",
    ),
    plant(
        "JobSet: name so long that the pods' names are no host names",
        manifests.job_set,
        put("metadata", "name", "s" * 50),
        "spec.replicatedJobs[0].name",
        "must be no more than 63",
    ),
)
"""Errors that JobSet's own webhook refuses."""

SILENT = (
    plant(
        "JobSet: failure policy that names an unknown container",
        manifests.job_set,
        _job("podFailurePolicy", "rules", 1, "onExitCodes", "containerName", "main"),
        f"{_SLICE}.podFailurePolicy.rules[1].onExitCodes.containerName",
        "must be one of the container",
    ),
    plant(
        "JobSet: failure policy of pods that restart",
        manifests.job_set,
        _hosts("restartPolicy", "OnFailure"),
        f"{_SLICE}.template.spec.restartPolicy",
        'only "Never" is supported when podFailurePolicy is specified',
    ),
    plant(
        "JobSet: no restart policy, for which its webhook sets OnFailure",
        manifests.job_set,
        lambda it: it["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"].pop(
            "restartPolicy"
        ),
        f"{_SLICE}.template.spec.restartPolicy",
        'only "Never" is supported when podFailurePolicy is specified',
    ),
    plant(
        "JobSet: request of TPUs that is not the limit",
        manifests.job_set,
        _hosts("containers", 0, "resources", TWO),
        f"{_SLICE}.template.spec.containers[0].resources.requests",
        "must be equal to google.com/tpu limit",
    ),
)
"""Errors that an API server with JobSet accepts, after which no Job is made."""
