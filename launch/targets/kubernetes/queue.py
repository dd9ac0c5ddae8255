"""What an administrator sets up once for Kueue: quotas of accelerators, a queue, priorities.

Launches then name the queue (target.queue) and wait in it until their machines are free.
"""

import dataclasses
import re
from typing import Any

from podway.framework.error import ConfigError, check
from podway.launch.targets import names
from podway.launch.targets.kubernetes import pools
from podway.launch.targets.kubernetes.quotas import Queue
from podway.launch.targets.kubernetes.target import Kubernetes

API = "kueue.x-k8s.io/v1beta2"
"""Of Kueue 0.15 or later; the client says v1beta1 to older ones."""
_QUOTA = re.compile(
    r"(?P<accelerator>[a-z0-9]+:[0-9x]+)(:(?P<capacity>[a-z-]+)(/(?P<reservation>[^=]+))?)?=(?P<count>\d+)"
)
_PRIORITIES = {"low": 100, "normal": 500, "high": 1000}
_MACHINES = "machines"
"""Name of the flavor of machines without accelerators."""
_PROVISION = "podway-flex-start"
REQUEST = ("autoscaling.x-k8s.io/v1", "ProvisioningRequest")
"""Version and kind by which Kueue asks for machines of flex-start."""


@dataclasses.dataclass(frozen=True)
class Flavor:
    """A kind of machine and how much of it there is.

    Attributes:
      name: of the ResourceFlavor.
      pool: the machines.
      count: chips.
      capacity: how they are paid for.
    """

    name: str
    pool: pools.Pool
    count: int
    capacity: str

    @property
    def flexible(self) -> bool:
        """Whether they are asked for only when something waits."""
        return self.capacity == "flex-start"


def flavors(queue: Queue) -> list[Flavor]:
    """The kinds of machines that the quotas name. Raises ConfigError."""
    found = [_flavor(queue, quota) for quota in queue.quotas]
    twice = {each.name for each in found if [one.name for one in found].count(each.name) > 1}
    check(not twice, f"target.quotas names {', '.join(sorted(twice))} twice; add them up")
    return found


def _flavor(queue: Queue, quota: str) -> Flavor:
    parts = _QUOTA.fullmatch(quota)
    if parts is None:
        raise ConfigError(
            f"target.quotas has {quota!r}; give ACCELERATOR[:CAPACITY]=CHIPS, as v5e:4x4:spot=64"
        )
    capacity: Any = parts["capacity"] or "on-demand"
    known = ("on-demand", "spot", "reserved", "flex-start")
    check(capacity in known, f"target.quotas has {quota!r}; capacity is one of {', '.join(known)}")
    try:
        target = Kubernetes(
            accelerator=parts["accelerator"],
            capacity=capacity,
            reservation=parts["reservation"] or "",
            provider=queue.provider,
        )
        pool = pools.of(target)
    except ConfigError as error:
        raise ConfigError(f"target.quotas has {quota!r}: {error}") from error
    check(bool(pool.resource), f"target.quotas has {quota!r}; cores are given by target.cpu")
    count, slice_ = int(parts["count"]), pool.hosts * pool.count
    check(
        count >= slice_,
        f"target.quotas has {quota!r}: one launch takes {slice_} chips; give that or more",
    )
    name = names.legal(quota.partition("=")[0].removesuffix("on-demand"))
    return Flavor(name, pool, count, capacity)


def objects(queue: Queue) -> list[dict[str, Any]]:
    """All objects, in the order in which they are applied."""
    found = flavors(queue)
    made = [*_priorities(), _object(API, "ResourceFlavor", _MACHINES, {})]
    made += [_resource_flavor(each) for each in found]
    if any(each.flexible for each in found):
        made += _provisioning(found)
    made.append(_cluster_queue(queue, found))
    for space in queue.namespaces:
        labels = {"app.kubernetes.io/managed-by": "podway"}
        metadata = {"name": space, "labels": labels}
        made.append({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        made.append(
            _object(API, "LocalQueue", queue.name, {"clusterQueue": queue.name}, namespace=space)
        )
    return made


def _object(
    version: str, kind: str, name: str, spec: dict[str, Any], namespace: str = ""
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace else {})
    metadata["labels"] = {"app.kubernetes.io/managed-by": "podway"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _priorities() -> list[dict[str, Any]]:
    """Of pods and of launches: the same three names, podway-low, podway-normal, podway-high."""
    found: list[dict[str, Any]] = []
    for name, value in _PRIORITIES.items():
        metadata = {"name": f"podway-{name}", "labels": {"app.kubernetes.io/managed-by": "podway"}}
        for version, kind in (
            ("scheduling.k8s.io/v1", "PriorityClass"),
            (API, "WorkloadPriorityClass"),
        ):
            found.append(
                {
                    "apiVersion": version,
                    "kind": kind,
                    "metadata": metadata,
                    "value": value,
                    "description": f"Launches of Podway, {name} priority",
                }
            )
    return found


def _resource_flavor(flavor: Flavor) -> dict[str, Any]:
    """Only launches that asked for its capacity tolerate its taint."""
    spec: dict[str, Any] = {}
    own = pools.capacity_taint(flavor.capacity)
    if flavor.pool.selector:
        spec["nodeLabels"] = dict(flavor.pool.selector)
    if own:
        spec["nodeTaints"] = [{"key": own, "value": "true", "effect": "NoSchedule"}]
    spec["tolerations"] = [
        {"key": each, "operator": "Exists"} for each in flavor.pool.tolerations if each != own
    ]
    return _object(API, "ResourceFlavor", flavor.name, spec)


def _cluster_queue(queue: Queue, found: list[Flavor]) -> dict[str, Any]:
    groups: list[dict[str, Any]] = [
        {
            "coveredResources": ["cpu", "memory"],
            "flavors": [
                {
                    "name": _MACHINES,
                    "resources": [
                        {"name": "cpu", "nominalQuota": queue.cpu},
                        {"name": "memory", "nominalQuota": queue.memory},
                    ],
                }
            ],
        }
    ]
    for resource in sorted({each.pool.resource for each in found}):
        flavor = [
            {
                "name": each.name,
                "resources": [{"name": resource, "nominalQuota": str(each.count)}],
            }
            for each in found
            if each.pool.resource == resource
        ]
        groups.append({"coveredResources": [resource], "flavors": flavor})
    spaces = {
        "key": "kubernetes.io/metadata.name",
        "operator": "In",
        "values": sorted(queue.namespaces),
    }
    spec: dict[str, Any] = {
        "namespaceSelector": {"matchExpressions": [spaces]},
        "queueingStrategy": "BestEffortFIFO",
        "preemption": {"withinClusterQueue": "LowerPriority"},
        "resourceGroups": groups,
    }
    flexible = [each.name for each in found if each.flexible]
    if flexible:
        rule = {"name": _PROVISION, "onFlavors": flexible}
        spec["admissionChecksStrategy"] = {"admissionChecks": [rule]}
    return _object(API, "ClusterQueue", queue.name, spec)


def _provisioning(found: list[Flavor]) -> list[dict[str, Any]]:
    """GKE's flex start: machines are asked for, all at once, when a launch's turn has come."""
    managed = sorted({each.pool.resource for each in found if each.flexible})
    config = {"provisioningClassName": "queued-provisioning.gke.io", "managedResources": managed}
    parameters = {
        "apiGroup": API.partition("/")[0],
        "kind": "ProvisioningRequestConfig",
        "name": _PROVISION,
    }
    check_spec = {
        "controllerName": "kueue.x-k8s.io/provisioning-request",
        "parameters": parameters,
    }
    return [
        _object(API, "ProvisioningRequestConfig", _PROVISION, config),
        _object(API, "AdmissionCheck", _PROVISION, check_spec),
    ]


def problems(objects: list[dict[str, Any]]) -> list[str]:
    """What no schema knows: that the queues name what there is. A sentence each."""
    there = {(each["kind"], each["metadata"]["name"]) for each in objects}
    found = []
    for each in objects:
        where, spec = f"{each['kind']} {each['metadata']['name']}", each.get("spec", {})
        wanted = [("ClusterQueue", spec["clusterQueue"])] if each["kind"] == "LocalQueue" else []
        if each["kind"] == "ClusterQueue":
            covered = [
                name for group in spec["resourceGroups"] for name in group["coveredResources"]
            ]
            found += [
                f"{where}: {name} is in two groups"
                for name in {*covered}
                if covered.count(name) > 1
            ]
            for group in spec["resourceGroups"]:
                for flavor in group["flavors"]:
                    wanted.append(("ResourceFlavor", flavor["name"]))
                    if [part["name"] for part in flavor["resources"]] != group["coveredResources"]:
                        found.append(
                            f"{where}: {flavor['name']} has not the resources of its group"
                        )
            for rule in spec.get("admissionChecksStrategy", {}).get("admissionChecks", []):
                wanted.append(("AdmissionCheck", rule["name"]))
        found += [
            f"{where}: there is no {kind} {name}"
            for kind, name in wanted
            if (kind, name) not in there
        ]
    return found
