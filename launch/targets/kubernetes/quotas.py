"""A queue and its quotas, as a typed config."""

import dataclasses
from typing import Literal

from podway.framework.error import check
from podway.launch.targets import names


@dataclasses.dataclass(frozen=True)
class Queue:
    """A queue, and what may be used by those who wait in it."""

    quotas: tuple[str, ...] = ()
    """Chips by kind of machine: v5e:4x4=64, v5e:4x4:spot=64, h100:8:flex-start=16,
    v6e:8x8:reserved/NAME=256."""
    cpu: str = "64"
    """Cores of all pods without accelerators: the data stages and the exports."""
    memory: str = "256Gi"
    """Their memory."""
    name: str = "podway"
    """Of the queue, which launches give as target.queue, and of its ClusterQueue."""
    namespaces: tuple[str, ...] = ("podway",)
    """Where launches may come from; each gets a LocalQueue."""
    provider: Literal["gke", "any"] = "gke"
    """Whose labels nodes have."""
    context: str = ""
    """Of the kubeconfig; empty: its current one."""

    def __post_init__(self):
        check(bool(self.namespaces), "target.namespaces is empty; give one or more")
        for name in (self.name, *self.namespaces):
            check(
                names.is_legal(name),
                f"target has the name {name!r}; give small letters, digits and '-', at most 63",
            )
