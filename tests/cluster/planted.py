"""Errors planted into manifests that are right: what a check of manifests must catch."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from tests.cluster import manifests
from tests.cluster.manifests import Manifest


@dataclasses.dataclass(frozen=True)
class Planted:
    """An error, and how to know that it was the one that was caught.

    Attributes:
      name: what is wrong.
      manifest: that is wrong, in this alone.
      field: the path of the field that the error names, or its end.
      message: a part of what it says.
    """

    name: str
    manifest: Manifest
    field: str
    message: str


def plant(
    name: str,
    good: Callable[[], Manifest],
    change: Callable[[Manifest], Any],
    field: str,
    message: str,
) -> Planted:
    """`change` breaks the manifest in place."""
    manifest = copy.deepcopy(good())
    change(manifest)
    return Planted(name, manifest, field, message)


def _put(*path: Any) -> Callable[[Manifest], None]:
    """Sets what lies at a path to its last part."""

    def change(manifest: Manifest) -> None:
        node: Any = manifest
        for step in path[:-2]:
            node = node[step]
        node[path[-2]] = path[-1]

    return change


def _spec(*path: Any) -> Callable[[Manifest], None]:
    return _put("spec", *path)


def _container(*path: Any) -> Callable[[Manifest], None]:
    """Of a Deployment."""
    return _spec("template", "spec", "containers", 0, *path)


def _job(*path: Any) -> Callable[[Manifest], None]:
    """Of a JobSet: its first replicated Job's spec."""
    return _spec("replicatedJobs", 0, "template", "spec", *path)


def _hosts(*path: Any) -> Callable[[Manifest], None]:
    """Of a JobSet: its pods' spec."""
    return _job("template", "spec", *path)


def _policy_of_on_failure(manifest: Manifest) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}
    manifest["spec"]["podFailurePolicy"] = {"rules": [rule]}
    manifest["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"


def _twice(manifest: Manifest) -> None:
    jobs = manifest["spec"]["replicatedJobs"]
    jobs.append(copy.deepcopy(jobs[0]))


_POD = "spec.template.spec.containers[0]"
_SLICE = "spec.replicatedJobs[0].template.spec"
_TWO = {"requests": {"google.com/tpu": 2}, "limits": {"google.com/tpu": 4}}
_HALF = {"limits": {"google.com/tpu": "2.5"}}

BUILTIN = (
    plant(
        "selector that does not match the template's labels",
        manifests.deployment,
        _spec("template", "metadata", {"labels": {"a": "b"}}),
        "spec.template.metadata.labels",
        "`selector` does not match template `labels`",
    ),
    plant(
        "name with an underscore, as our configs have",
        manifests.deployment,
        _put("metadata", "name", "serving-movielens_sasrec"),
        "metadata.name",
        "RFC 1123 subdomain",
    ),
    plant(
        "port name of more than 15 letters",
        manifests.deployment,
        _container("ports", 0, "name", "tensorflow-serving-grpc"),
        f"{_POD}.ports[0].name",
        "must be no more than 15 characters",
    ),
    plant(
        "mount without a volume",
        manifests.deployment,
        lambda it: it["spec"]["template"]["spec"].pop("volumes"),
        f"{_POD}.volumeMounts[0].name",
        "Not found",
    ),
    plant(
        "request of TPUs that is not the limit",
        manifests.pod,
        _spec("containers", 0, "resources", _TWO),
        "spec.containers[0].resources.requests",
        "must be equal to google.com/tpu limit",
    ),
    plant(
        "part of a TPU",
        manifests.pod,
        _spec("containers", 0, "resources", _HALF),
        "resources.limits[google.com/tpu]",
        "must be an integer",
    ),
    plant(
        "budget with both bounds",
        manifests.budget,
        _spec("minAvailable", 1),
        "spec",
        "minAvailable and maxUnavailable cannot be both set",
    ),
    plant(
        "autoscaler whose minimum is above its maximum",
        manifests.autoscaler,
        _spec("minReplicas", 9),
        "spec.maxReplicas",
        "must be greater than or equal to `minReplicas`",
    ),
    plant(
        "schedule in words",
        manifests.cron_job,
        _spec("schedule", "nightly"),
        "spec.schedule",
        "expected exactly 5 fields",
    ),
    plant(
        "time zone that there is not",
        manifests.cron_job,
        _spec("timeZone", "Mars/Base"),
        "spec.timeZone",
        "unknown time zone Mars/Base",
    ),
    plant(
        "probe with two handlers",
        manifests.deployment,
        _container("readinessProbe", "grpc", {"port": 8500}),
        f"{_POD}.readinessProbe.grpc",
        "may not specify more than 1 handler type",
    ),
    plant(
        "liveness probe that must succeed twice",
        manifests.deployment,
        _container("livenessProbe", "successThreshold", 2),
        f"{_POD}.livenessProbe.successThreshold",
        "must be 1",
    ),
    plant(
        "rolling update that may neither add nor remove",
        manifests.deployment,
        _spec("strategy", "rollingUpdate", "maxSurge", 0),
        "spec.strategy.rollingUpdate.maxUnavailable",
        "may not be 0 when `maxSurge` is 0",
    ),
    plant(
        "label value with a space",
        manifests.deployment,
        _put("metadata", "labels", {"podway.dev/dataset": "ml 1m"}),
        "metadata.labels",
        "a valid label must be",
    ),
    plant(
        "memory limit below the request",
        manifests.deployment,
        _container("resources", "limits", {"memory": "1Gi"}),
        f"{_POD}.resources.requests",
        "must be less than or equal to memory limit",
    ),
    plant(
        "failure policy of pods that restart",
        manifests.job,
        _policy_of_on_failure,
        "spec.template.spec.restartPolicy",
        'only "Never" is supported when podFailurePolicy is specified',
    ),
    plant(
        "two ports of one name",
        manifests.deployment,
        _container("ports", 1, "name", "grpc"),
        f"{_POD}.ports[1].name",
        "Duplicate value",
    ),
    plant(
        "quantity with a space",
        manifests.deployment,
        _container("resources", "requests", "memory", "4 GB"),
        "",
        "quantities must match the regular expression",
    ),
    plant(
        "unknown field",
        manifests.deployment,
        _spec("template", "spec", "nodeSelectors", {}),
        "spec.template.spec.nodeSelectors",
        "unknown field",
    ),
    plant(
        "number as the value of a variable",
        manifests.deployment,
        _container("env", [{"name": "A", "value": 1}]),
        "",
        "cannot unmarshal number into Go struct field EnvVar",
    ),
    # Of the kinds that a launch has besides.
    plant(
        "policy of a direction that there is not",
        manifests.network_policy,
        _spec("policyTypes", ["Inbound"]),
        "spec.policyTypes[0]",
        "Unsupported value",
    ),
    plant(
        "storage without a size",
        manifests.claim,
        _spec("resources", {}),
        "spec.resources[storage]",
        "Required value",
    ),
    plant(
        "key that is no file's name",
        manifests.config_map,
        _put("data", {"a/b": ""}),
        "data[a/b]",
        "a valid config key must",
    ),
    plant(
        "right to do nothing",
        manifests.role,
        _put("rules", 0, "verbs", []),
        "rules[0].verbs",
        "verbs must contain at least one value",
    ),
    plant(
        "role of another group",
        manifests.role_binding,
        _put("roleRef", "apiGroup", "rbac"),
        "roleRef.apiGroup",
        "Unsupported value",
    ),
    plant(
        "priority of the system",
        manifests.priority_class,
        _put("value", 2_000_000_000),
        "value",
        "maximum allowed value of a user defined priority",
    ),
)
"""Errors in Kubernetes' own kinds."""

CUSTOM = (
    plant(
        "JobSet: unknown field",
        manifests.job_set,
        _spec("failurePolicy", "maxRestart", 3),
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
        _spec("failurePolicy", "rules", 0, "action", "FailJobset"),
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
        _spec("resourceGroups", 0, "coveredResources", ["google.com/tpu", "cpu"]),
        "spec.resourceGroups[0].flavors[0].resources",
        "",
    ),
    plant(
        "Kueue: unknown field",
        manifests.local_queue,
        _spec("clusterqueue", "tpus"),
        "spec.clusterqueue",
        "unknown field",
    ),
    plant(
        "HTTPRoute: weight below 0",
        manifests.http_route,
        _spec("rules", 0, "backendRefs", 0, "weight", -1),
        "spec.rules[0].backendRefs[0].weight",
        "should be greater than or equal to 0",
    ),
    plant(
        "PodMonitor: endpoint as a mapping",
        manifests.pod_monitor,
        _spec("podMetricsEndpoints", {"port": "http"}),
        "spec.podMetricsEndpoints",
        "must be of type array",
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
        _spec("successPolicy", "targetReplicatedJobs", ["worker"]),
        "spec.successPolicy.targetReplicatedJobs[0]",
        "Unsupported value",
    ),
    plant(
        "JobSet: rule for a replicated Job that there is not",
        manifests.job_set,
        _spec("failurePolicy", "rules", 0, "targetReplicatedJobs", ["nope"]),
        "spec.failurePolicy.rules[0].targetReplicatedJobs[0]",
        "Unsupported value",
    ),
    plant(
        "JobSet: reason that no Job fails for",
        manifests.job_set,
        _spec("failurePolicy", "rules", 0, "onJobFailureReasons", ["PodFailurePolicyX"]),
        "spec.failurePolicy.rules[0].onJobFailureReasons[0]",
        "Unsupported value",
    ),
    plant(
        "JobSet: name so long that the pods' names are no host names",
        manifests.job_set,
        _put("metadata", "name", "s" * 50),
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
        _hosts("containers", 0, "resources", _TWO),
        f"{_SLICE}.template.spec.containers[0].resources.requests",
        "must be equal to google.com/tpu limit",
    ),
)
"""Errors that an API server with JobSet accepts, after which no Job is made."""
