"""The online services on a Kubernetes cluster, as a typed config."""

import dataclasses
import re

from podway.framework.error import check
from podway.launch.targets import names
from podway.launch.targets.kubernetes.serving.config import Monitoring
from podway.launch.targets.kubernetes.target import DIGEST, Claim

_CORES = re.compile(r"\d+(\.\d+)?|\d+m")
_MEMORY = re.compile(r"\d+(\.\d+)?[KMGT]i?")


@dataclasses.dataclass(frozen=True)
class Pods:
    """The pods of one service."""

    least: int = 2
    """Pods, whatever the load: two outlast a lost machine."""
    most: int = 10
    """Pods, whatever the load. Of consumers no more than the topic has partitions."""
    cpu: str = "1"
    """Cores of a pod. There is no limit: what is free may be used."""
    memory: str = "1Gi"
    """Memory of a pod, which is also its limit."""
    cpu_percent: int = 60
    """Of the cores that pods ask for: above it there will be more pods."""

    def __post_init__(self):
        check(self.least >= 1, f"least of a service's pods is {self.least}; give 1 or more")
        check(
            self.most >= self.least,
            f"most of a service's pods is {self.most}; give `least`, {self.least}, or more",
        )
        check(
            bool(_CORES.fullmatch(self.cpu)),
            f"cpu of a service's pods is {self.cpu!r}; give cores, as 2 or 500m",
        )
        check(
            bool(_MEMORY.fullmatch(self.memory)),
            f"memory of a service's pods is {self.memory!r}; give a quantity of Kubernetes, as 4Gi",
        )
        check(
            1 <= self.cpu_percent <= 100,
            f"cpu_percent of a service's pods is {self.cpu_percent}; give 1 to 100",
        )


@dataclasses.dataclass(frozen=True)
class Entrance:
    """How requests come in from outside, by the Gateway API."""

    name: str = ""
    """Of a Gateway that is there; empty: no route, only a Service."""
    namespace: str = ""
    """Its own; empty: that of the services."""
    host: str = ""
    """Host name that requests must have; empty: any."""

    def __post_init__(self):
        check(
            bool(self.name) or not (self.host or self.namespace),
            "target.entrance.name is empty; give the name of a Gateway for the others to apply to",
        )


@dataclasses.dataclass(frozen=True)
class Services:
    """Gateway, nearline and lander: a Deployment each."""

    image: str = ""
    """Podway's `online` image, NAME@sha256:DIGEST (docs/launch/images.md)."""
    context: str = ""
    """Of the kubeconfig; empty: its current one."""
    namespace: str = "podway-online"
    """Where everything is put; it is made if there is none."""
    service_account: str = "podway-online"
    """Of Kubernetes, that the pods run as."""
    google_service_account: str = ""
    """E-mail of the Google service account that it stands for (workload identity)."""
    secret: str = ""
    """Name of a Secret that is there: its keys are environment variables of all pods (passwords of
    the queue and the store, tokens of clients)."""
    claims: tuple[Claim, ...] = ()
    """Volumes that are mounted; the workdir may lie in one."""
    gateway: Pods = Pods(least=3, most=50)
    """Answers users."""
    nearline: Pods = Pods(most=4)
    """Writes histories and counts into the store."""
    lander: Pods = Pods(most=4)
    """Writes raw shards."""
    entrance: Entrance = Entrance()
    """How requests come in."""
    clients: tuple[str, ...] = ()
    """Namespaces whose pods may ask the gateway; empty: all pods, and load balancers."""
    monitoring: Monitoring = "none"
    """Who collects the metrics: Prometheus' operator (PodMonitor), or GKE's managed Prometheus
    (PodMonitoring)."""
    drain_seconds: int = 25
    """From the moment when a gateway's pod gets no more new requests to its end."""
    priority: str = ""
    """Name of a PriorityClass."""

    def __post_init__(self):
        check(
            not self.image or bool(DIGEST.fullmatch(self.image)),
            f"target.image is {self.image!r}; give NAME@sha256:DIGEST: what a tag names may change"
            " between two pods",
        )
        for name in ("namespace", "service_account"):
            value = getattr(self, name)
            check(
                names.is_legal(value),
                f"target.{name} is {value!r}; give small letters, digits and '-', at most 63",
            )
        check(
            5 <= self.drain_seconds <= 600,
            f"target.drain_seconds is {self.drain_seconds}; give 5 to 600",
        )
