"""Errors planted into manifests that are right: what a check of manifests must catch.

Those of custom kinds are in planted_custom.py.
"""

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


def put(*path: Any) -> Callable[[Manifest], None]:
    """Sets what lies at a path to its last part."""

    def change(manifest: Manifest) -> None:
        node: Any = manifest
        for step in path[:-2]:
            node = node[step]
        node[path[-2]] = path[-1]

    return change


def spec(*path: Any) -> Callable[[Manifest], None]:
    return put("spec", *path)


def container(*path: Any) -> Callable[[Manifest], None]:
    """Of a Deployment."""
    return spec("template", "spec", "containers", 0, *path)


def _policy_of_on_failure(manifest: Manifest) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}
    manifest["spec"]["podFailurePolicy"] = {"rules": [rule]}
    manifest["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"


_POD = "spec.template.spec.containers[0]"
TWO = {"requests": {"google.com/tpu": 2}, "limits": {"google.com/tpu": 4}}
_HALF = {"limits": {"google.com/tpu": "2.5"}}

BUILTIN = (
    plant(
        "selector that does not match the template's labels",
        manifests.deployment,
        spec("template", "metadata", {"labels": {"a": "b"}}),
        "spec.template.metadata.labels",
        "`selector` does not match template `labels`",
    ),
    plant(
        "name with an underscore, as our configs have",
        manifests.deployment,
        put("metadata", "name", "serving-movielens_sasrec"),
        "metadata.name",
        "RFC 1123 subdomain",
    ),
    plant(
        "port name of more than 15 letters",
        manifests.deployment,
        container("ports", 0, "name", "tensorflow-serving-grpc"),
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
        spec("containers", 0, "resources", TWO),
        "spec.containers[0].resources.requests",
        "must be equal to google.com/tpu limit",
    ),
    plant(
        "part of a TPU",
        manifests.pod,
        spec("containers", 0, "resources", _HALF),
        "resources.limits[google.com/tpu]",
        "must be an integer",
    ),
    plant(
        "budget with both bounds",
        manifests.budget,
        spec("minAvailable", 1),
        "spec",
        "minAvailable and maxUnavailable cannot be both set",
    ),
    plant(
        "autoscaler whose minimum is above its maximum",
        manifests.autoscaler,
        spec("minReplicas", 9),
        "spec.maxReplicas",
        "must be greater than or equal to `minReplicas`",
    ),
    plant(
        "schedule in words",
        manifests.cron_job,
        spec("schedule", "nightly"),
        "spec.schedule",
        "expected exactly 5 fields",
    ),
    plant(
        "time zone that there is not",
        manifests.cron_job,
        spec("timeZone", "Mars/Base"),
        "spec.timeZone",
        "unknown time zone Mars/Base",
    ),
    plant(
        "probe with two handlers",
        manifests.deployment,
        container("readinessProbe", "grpc", {"port": 8500}),
        f"{_POD}.readinessProbe.grpc",
        "may not specify more than 1 handler type",
    ),
    plant(
        "liveness probe that must succeed twice",
        manifests.deployment,
        container("livenessProbe", "successThreshold", 2),
        f"{_POD}.livenessProbe.successThreshold",
        "must be 1",
    ),
    plant(
        "rolling update that may neither add nor remove",
        manifests.deployment,
        spec("strategy", "rollingUpdate", "maxSurge", 0),
        "spec.strategy.rollingUpdate.maxUnavailable",
        "may not be 0 when `maxSurge` is 0",
    ),
    plant(
        "label value with a space",
        manifests.deployment,
        put("metadata", "labels", {"podway.dev/dataset": "ml 1m"}),
        "metadata.labels",
        "a valid label must be",
    ),
    plant(
        "memory limit below the request",
        manifests.deployment,
        container("resources", "limits", {"memory": "1Gi"}),
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
        container("ports", 1, "name", "grpc"),
        f"{_POD}.ports[1].name",
        "Duplicate value",
    ),
    plant(
        "quantity with a space",
        manifests.deployment,
        container("resources", "requests", "memory", "4 GB"),
        "",
        "quantities must match the regular expression",
    ),
    plant(
        "unknown field",
        manifests.deployment,
        spec("template", "spec", "nodeSelectors", {}),
        "spec.template.spec.nodeSelectors",
        "unknown field",
    ),
    plant(
        "number as the value of a variable",
        manifests.deployment,
        container("env", [{"name": "A", "value": 1}]),
        "",
        "cannot unmarshal number into Go struct field EnvVar",
    ),
    # Of the kinds that a launch has besides.
    plant(
        "policy of a direction that there is not",
        manifests.network_policy,
        spec("policyTypes", ["Inbound"]),
        "spec.policyTypes[0]",
        "Unsupported value",
    ),
    plant(
        "storage without a size",
        manifests.claim,
        spec("resources", {}),
        "spec.resources[storage]",
        "Required value",
    ),
    plant(
        "key that is no file's name",
        manifests.config_map,
        put("data", {"a/b": ""}),
        "data[a/b]",
        "a valid config key must",
    ),
    plant(
        "right to do nothing",
        manifests.role,
        put("rules", 0, "verbs", []),
        "rules[0].verbs",
        "verbs must contain at least one value",
    ),
    plant(
        "role of another group",
        manifests.role_binding,
        put("roleRef", "apiGroup", "rbac"),
        "roleRef.apiGroup",
        "Unsupported value",
    ),
    plant(
        "priority of the system",
        manifests.priority_class,
        put("value", 2_000_000_000),
        "value",
        "maximum allowed value of a user defined priority",
    ),
)
"""Errors in Kubernetes' own kinds."""
