"""Whether the queue that a launch names can ever take it: asked before anything is applied.

Kueue takes every JobSet. One whose queue is not there, or has not the quota, waits for ever. What
of the quota is in use now is no question here: for that a launch waits.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes import queue, training
from podway.launch.targets.kubernetes.cluster import Cluster, ForbiddenError

_PRIORITIES = "scheduling.k8s.io/v1"


@dataclasses.dataclass(frozen=True)
class _Part:
    """The pods of one part of a JobSet: they all get machines of one flavor.

    Attributes:
      name: of the part.
      needs: resource → how much of it all its pods ask for.
      selector: labels that its nodes have.
      tolerated: keys of taints.
    """

    name: str
    needs: Mapping[str, Decimal]
    selector: Mapping[str, str]
    tolerated: frozenset[str]


@dataclasses.dataclass(frozen=True)
class _Flavor:
    """A kind of machines, and how much of each resource a queue has of it."""

    name: str
    quota: Mapping[str, Decimal]
    labels: Mapping[str, str]
    taints: frozenset[str]

    def suits(self, part: _Part, labels: frozenset[str]) -> bool:
        """Whether Kueue would try it: of a selector, the labels of its group's flavors count."""
        wanted = {name: value for name, value in part.selector.items() if name in labels}
        return wanted.items() <= self.labels.items() and self.taints <= part.tolerated


def check(cluster: Cluster, launched: Mapping[str, Any]) -> None:
    """Raises LaunchError: the queue or the priority is not there, or the quota never suffices.

    What one may not read is left to Kueue, which says it of the launch that waits.

    Args:
      cluster: seen from the launch's namespace.
      launched: a JobSet, or a CronJob whose Jobs are launched.
    """
    for name in sorted(_priorities(launched)):
        _check_priority(cluster, name)
    made = launched["spec"]["jobTemplate"] if launched["kind"] == "CronJob" else launched
    name = made.get("metadata", {}).get("labels", {}).get(training.QUEUE)
    if not name:
        return
    try:
        whole = _cluster_queue(cluster, name)
        groups = list(_groups(cluster, whole))
    except ForbiddenError:
        return
    borrows = any(whole["spec"].get(field) for field in ("cohort", "cohortName"))
    parts = list(_parts(launched))
    for resource in sorted({each for part in parts for each in part.needs}):
        _check_resource(name, resource, groups, parts, borrows=borrows)


def _check_priority(cluster: Cluster, name: str) -> None:
    """Without its PriorityClass a pod is never made."""
    try:
        if cluster.get(_PRIORITIES, "PriorityClass", name) is not None:
            return
        there = _names(cluster.list(_PRIORITIES, "PriorityClass"))
    except ForbiddenError:
        return
    raise LaunchError(
        f"target.priority is {name!r}, a PriorityClass that the cluster has not; there are {there}"
    )


def _cluster_queue(cluster: Cluster, name: str) -> dict[str, Any]:
    """Of a LocalQueue."""
    local = cluster.get(queue.API, "LocalQueue", name)
    if local is None:
        there = _names(cluster.list(queue.API, "LocalQueue"))
        raise LaunchError(
            f"target.queue is {name!r}, and the namespace {cluster.namespace!r} has no LocalQueue"
            f" of that name (there are: {there}); `podway launch queue` makes one"
        )
    whole = cluster.get(queue.API, "ClusterQueue", local["spec"]["clusterQueue"])
    if whole is None:
        raise LaunchError(
            f"target.queue is {name!r}, whose ClusterQueue {local['spec']['clusterQueue']!r} is not"
            " there; `podway launch queue` makes one"
        )
    return whole


def _groups(cluster: Cluster, whole: Mapping[str, Any]) -> Iterator[list[_Flavor]]:
    """The flavors of a ClusterQueue: a group has quotas of the same resources."""
    for group in whole["spec"].get("resourceGroups") or []:
        yield [
            _flavor(each, cluster.get(queue.API, "ResourceFlavor", each["name"]) or {})
            for each in group["flavors"]
        ]


def _flavor(quota: Mapping[str, Any], flavor: Mapping[str, Any]) -> _Flavor:
    spec = flavor.get("spec") or {}
    taints = {each["key"] for each in spec.get("nodeTaints") or []}
    tolerated = {each.get("key") for each in spec.get("tolerations") or []}
    return _Flavor(
        quota["name"],
        {each["name"]: parse_quantity(each["nominalQuota"]) for each in quota["resources"]},
        spec.get("nodeLabels") or {},
        frozenset(taints - tolerated),
    )


def _check_resource(
    name: str, resource: str, groups: Sequence[list[_Flavor]], parts: list[_Part], *, borrows: bool
) -> None:
    flavors = next((group for group in groups if resource in group[0].quota), [])
    asking = [part for part in parts if part.needs.get(resource)]
    if not flavors and asking:
        covered = ", ".join(sorted({each for group in groups for each in group[0].quota}))
        raise LaunchError(
            f"target.queue is {name!r}, which has no quota for {resource}, only for {covered};"
            " `podway launch queue --target.quotas …` sets one"
        )
    labels = frozenset(label for flavor in flavors for label in flavor.labels)
    usable: dict[str, _Flavor] = {}
    for part in asking:
        suited = [flavor for flavor in flavors if flavor.suits(part, labels)]
        if not suited:
            wanted = ", ".join(f"{key}={value}" for key, value in part.selector.items())
            raise LaunchError(
                f"target.queue is {name!r}, which has no {resource} of machines with {wanted}; its"
                f" quotas are of {_quotas(flavors, resource)}"
            )
        most = max(flavor.quota[resource] for flavor in suited)
        _check_amount(name, resource, part.needs[resource], most, suited, borrows)
        usable |= {flavor.name: flavor for flavor in suited}
    together = sum(part.needs[resource] for part in asking)
    every = list(usable.values())
    whole = sum(flavor.quota[resource] for flavor in every)
    _check_amount(name, resource, Decimal(together), Decimal(whole), every, borrows)


def _check_amount(
    name: str,
    resource: str,
    needed: Decimal,
    most: Decimal,
    flavors: list[_Flavor],
    borrows: bool,
) -> None:
    """`borrows`: other queues may lend it more than its own quota."""
    if needed > most and not borrows:
        raise LaunchError(
            f"target.queue is {name!r}, and the launch needs {_number(needed)} {resource} at once,"
            f" more than its quota ({_quotas(flavors, resource)}); take less, or have an"
            " administrator raise it"
        )


def _quotas(flavors: list[_Flavor], resource: str) -> str:
    return ", ".join(f"{each.name}: {_number(each.quota[resource])}" for each in flavors)


def _number(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _names(found: list[Any]) -> str:
    return ", ".join(sorted(each["metadata"]["name"] for each in found)) or "none"


def _pods(launched: Mapping[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Of each part: its name, how many pods it has, and their spec."""
    if launched["kind"] == "CronJob":
        job = launched["spec"]["jobTemplate"]["spec"]
        yield "all", job["parallelism"], job["template"]["spec"]
        return
    for part in launched["spec"]["replicatedJobs"]:
        job = part["template"]["spec"]
        yield part["name"], part["replicas"] * job["parallelism"], job["template"]["spec"]


def _priorities(launched: Mapping[str, Any]) -> set[str]:
    specs = [spec for *_, spec in _pods(launched)]
    return {spec["priorityClassName"] for spec in specs if "priorityClassName" in spec}


def _parts(launched: Mapping[str, Any]) -> Iterator[_Part]:
    for name, count, spec in _pods(launched):
        needs: dict[str, Decimal] = {}
        for container in spec["containers"]:
            wanted = container.get("resources") or {}
            for resource, amount in {
                **wanted.get("limits", {}),
                **wanted.get("requests", {}),
            }.items():
                needs[resource] = needs.get(resource, Decimal(0)) + count * parse_quantity(amount)
        tolerated = frozenset(each.get("key", "") for each in spec.get("tolerations") or [])
        yield _Part(name, needs, spec.get("nodeSelector") or {}, tolerated)
