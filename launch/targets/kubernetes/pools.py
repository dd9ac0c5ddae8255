"""Node pools: how Kubernetes calls an accelerator, and how many hosts a topology has.

GKE's names: cloud.google.com/kubernetes-engine/docs/concepts/tpus, …/how-to/gpus, and xpk's table
(github.com/AI-Hypercomputer/xpk, core/system_characteristics.py).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from podway.framework.error import ConfigError, check
from podway.launch.targets.kubernetes.target import Kubernetes

if TYPE_CHECKING:
    from podway.framework.devices import topology

TPU, GPU = "google.com/tpu", "nvidia.com/gpu"
"""Resources that pods ask for."""
POOL = "cloud.google.com/gke-nodepool"


@dataclasses.dataclass(frozen=True)
class _Machine:
    """What GKE calls a machine with an accelerator."""

    label: str
    machine: str


_TPUS = {
    "v4": _Machine("tpu-v4-podslice", "ct4p-hightpu-4t"),
    "v5e": _Machine("tpu-v5-lite-podslice", "ct5lp-hightpu-4t"),
    "v5p": _Machine("tpu-v5p-slice", "ct5p-hightpu-4t"),
    "v6e": _Machine("tpu-v6e-slice", "ct6e-standard-4t"),
    "tpu7x": _Machine("tpu7x", "tpu7x-standard-4t"),
}
_GPUS = {
    "a100": _Machine("nvidia-a100-80gb", "a2-ultragpu-8g"),
    "h100": _Machine("nvidia-h100-80gb", "a3-highgpu-8g"),
    "h200": _Machine("nvidia-h200-141gb", "a3-ultragpu-8g"),
}
_CHIPS_PER_HOST = 4
"""Of all TPU machines that make up slices of several hosts."""


@dataclasses.dataclass(frozen=True)
class Pool:
    """The machines of one slice.

    Attributes:
      topology: the devices, of all slices.
      hosts: of one slice; a pod runs on each.
      resource: what a pod asks for; "" on machines without accelerators.
      count: of it, for each pod.
      selector: labels that the nodes have.
      tolerations: keys of taints that the nodes have.
      machine: the cloud's name of the machine; "" where we don't know it.
    """

    topology: topology.Topology
    hosts: int
    resource: str
    count: int
    selector: Mapping[str, str]
    tolerations: tuple[str, ...]
    machine: str

    @property
    def is_tpu(self) -> bool:
        """Whether the platform tells the processes who the others are."""
        return self.resource == TPU

    @property
    def platform(self) -> str:
        """What JAX calls its accelerators; "" where there are none."""
        return {TPU: "tpu", GPU: "cuda"}.get(self.resource, "")


def of(target: Kubernetes) -> Pool:
    """The pool that a target names.

    Raises ConfigError: there is no such topology (with the nearest), or no such machine.
    """
    shape = _topology(target)
    name = shape.accelerator.name
    extra = dict(pair.split("=", 1) for pair in target.node_selector)
    chips = math.prod(shape.shape)
    if name == "cpu":
        return Pool(shape, chips, "", 0, _labels(target, {}) | extra, _taints(target), "")
    if name in _GPUS:
        per_host = shape.accelerator.chips_per_host
        check(
            chips <= per_host or chips % per_host == 0,
            f"target.accelerator is {target.accelerator!r}; a machine has {per_host} of these GPUs:"
            f" give up to {per_host}, or a multiple of it",
        )
        labels = {"cloud.google.com/gke-accelerator": _GPUS[name].label}
        hosts = max(1, chips // per_host)
        selector = _labels(target, labels) | extra
        taints = (GPU, *_taints(target))
        return Pool(shape, hosts, GPU, min(chips, per_host), selector, taints, _GPUS[name].machine)
    count = 1 if chips == 1 else _CHIPS_PER_HOST
    hosts = chips // count
    check(
        target.slices == 1 or hosts > 1,
        f"target.accelerator is {target.accelerator!r}, slices of one host, and target.slices"
        f" {target.slices}: only slices of several hosts can be joined; give a larger topology",
    )
    labels = {
        "cloud.google.com/gke-tpu-accelerator": _TPUS[name].label,
        "cloud.google.com/gke-tpu-topology": "x".join(map(str, shape.shape)),
    }
    selector = _labels(target, labels) | extra
    machine = _TPUS[name].machine.replace("-4t", f"-{count}t")
    return Pool(shape, hosts, TPU, count, selector, (TPU, *_taints(target)), machine)


def _topology(target: Kubernetes) -> topology.Topology:
    from podway.framework.devices import hardware, topology  # which take JAX

    name = target.accelerator.partition(":")[0]
    known = [each.name for each in hardware.ACCELERATORS]
    check(
        name in known,
        f"target.accelerator is {target.accelerator!r}; give one of {', '.join(known)} with a shape"
        " or a number: v5e:4x4, h100:8, cpu:2",
    )
    check(
        name not in _GPUS or target.slices == 1,
        "target.slices is for TPUs; give the number of all GPUs, h100:16",
    )
    check(
        name != "cpu" or target.slices == 1,
        "target.slices is for TPUs; give the number of machines, cpu:4",
    )
    try:
        return topology.parse(target.accelerator, target.slices)
    except topology.TopologyError as error:
        said = str(error).replace("--topology ", "target.accelerator ")
        raise ConfigError(said.replace("as in cpu:8", f"as in {name}:8")) from error


def _labels(target: Kubernetes, labels: Mapping[str, str]) -> dict[str, str]:
    if target.provider == "any":
        return {}
    capacity = {
        "spot": {"cloud.google.com/gke-spot": "true"},
        "reserved": {"cloud.google.com/reservation-name": target.reservation},
        "flex-start": {"cloud.google.com/gke-flex-start": "true"},
        "on-demand": {},
    }
    return {**labels, **capacity[target.capacity]}


def capacity_taint(capacity: str) -> str:
    """The key by which a queue keeps machines of a capacity from launches that did not ask for it.

    No node has this taint: Kueue looks at what a pod tolerates when it chooses machines, and at the
    labels that a pod names, but not at those that it does not name.
    """
    return "" if capacity == "on-demand" else f"podway.dev/{capacity}"


def _taints(target: Kubernetes) -> tuple[str, ...]:
    """GKE taints the nodes of spot pools that are made so."""
    spot = target.capacity == "spot" and target.provider == "gke"
    keys = ("cloud.google.com/gke-spot" if spot else "", capacity_taint(target.capacity))
    return tuple(filter(None, keys))
