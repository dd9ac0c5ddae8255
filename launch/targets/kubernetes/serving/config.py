"""A model's servers on a Kubernetes cluster, as a typed config."""

import dataclasses
import re
from typing import Literal

from podway.framework.error import check
from podway.launch.targets import names
from podway.launch.targets.kubernetes.target import DIGEST, Bucket, Claim
from podway.launch.targets.server import Server

Monitoring = Literal["none", "prometheus-operator", "gke"]

_CORES = re.compile(r"\d+(\.\d+)?|\d+m")
_MEMORY = re.compile(r"\d+(\.\d+)?[KMGT]i?")


@dataclasses.dataclass(frozen=True)
class Gateway:
    """How requests come in from outside, by the Gateway API."""

    name: str = ""
    """Of a Gateway that is there; empty: no routes, only Services."""
    namespace: str = ""
    """Its own; empty: that of the servers."""
    host: str = ""
    """Host name that requests must have; empty: any."""
    grpc: bool = False
    """Also route gRPC, by a GRPCRoute; needs `host`: where a route looks, a call does not say which
    model it asks."""
    canary_percent: int = 5
    """Of the requests that name no label, while there is a canary."""

    def __post_init__(self):
        check(
            0 <= self.canary_percent <= 100,
            f"target.gateway.canary_percent is {self.canary_percent}; give 0 to 100",
        )
        check(
            bool(self.host) or not self.grpc,
            "target.gateway.grpc needs target.gateway.host: where a route looks, a call does not"
            " say which model it asks, so that each model needs a host name of its own",
        )
        check(
            bool(self.name) or not (self.host or self.namespace or self.grpc),
            "target.gateway.name is empty; give the name of a Gateway for the others to apply to",
        )


@dataclasses.dataclass(frozen=True)
class Scaling:
    """How many pods each version has."""

    least: int = 2
    """Pods of the stable version, whatever the load: two outlast a lost machine."""
    most: int = 10
    """Pods of a version, whatever the load."""
    canary_least: int = 1
    """Pods of the canary."""
    cpu_percent: int = 60
    """Of the cores that pods ask for: above it there will be more pods."""
    requests_per_second: float = 0.0
    """Of a pod: above it there will be more pods; 0: by the cores alone. Takes an adapter of
    Prometheus' metrics in the cluster."""

    def __post_init__(self):
        check(self.least >= 1, f"target.scaling.least is {self.least}; give 1 or more")
        check(
            self.most >= self.least,
            f"target.scaling.most is {self.most}; give target.scaling.least, {self.least}, or more",
        )
        check(
            1 <= self.canary_least <= self.most,
            f"target.scaling.canary_least is {self.canary_least}; give 1 to target.scaling.most,"
            f" {self.most}",
        )
        check(
            1 <= self.cpu_percent <= 100,
            f"target.scaling.cpu_percent is {self.cpu_percent}; give 1 to 100",
        )
        check(
            self.requests_per_second >= 0,
            f"target.scaling.requests_per_second is {self.requests_per_second}; give 0 or more",
        )


@dataclasses.dataclass(frozen=True)
class Alerts:
    """When somebody is told."""

    error_percent: float = 2.0
    """Of requests that fail by the server's fault, for five minutes."""
    p99_milliseconds: float = 500.0
    """Time in the server that 99 % of requests stay below, for ten minutes."""
    runbooks: str = "docs/runbooks"
    """Where the alerts' runbooks are: the URL of a folder of NAME.md."""

    def __post_init__(self):
        for name in ("error_percent", "p99_milliseconds"):
            value = getattr(self, name)
            check(value > 0, f"target.alerts.{name} is {value}; give more than 0")


@dataclasses.dataclass(frozen=True)
class Serving:
    """Servers of one model: a Deployment for each version that serves."""

    server: Server = "tensorflow-serving"
    """The stock server, or "podway": the embedded one."""
    image: str = ""
    """Of the server, NAME@sha256:DIGEST: tensorflow/serving 2.18 or later (…-gpu for a GPU), or
    Podway's `server` (docs/launch/images.md)."""
    provider: Literal["gke", "any"] = "gke"
    """"gke": buckets are mounted by its Cloud Storage FUSE, and its load balancers get health
    checks."""
    context: str = ""
    """Of the kubeconfig; empty: its current one."""
    namespace: str = "podway-serving"
    """Where everything is put; it is made if there is none."""
    service_account: str = "podway-serving"
    """Of Kubernetes, that the pods run as. It reads models, and nothing else."""
    google_service_account: str = ""
    """E-mail of the Google service account that it stands for (workload identity)."""
    buckets: tuple[Bucket, ...] = ()
    """Buckets that are mounted as folders. That of a workdir gs://… is mounted by itself."""
    claims: tuple[Claim, ...] = ()
    """Volumes that are mounted; the workdir may lie in one."""
    workdir: str = ""
    """The workdir as the pods see it, in one of these volumes; empty: --workdir is the same here
    and there."""
    cpu: str = "2"
    """Cores of a pod. There is no limit: what is free may be used."""
    memory: str = ""
    """Memory of a pod, which is also its limit; empty: from the size of the SavedModel."""
    gpu: str = ""
    """A GPU for each pod, by GKE's name of it: nvidia-l4; empty: none."""
    scaling: Scaling = Scaling()
    """How many pods."""
    gateway: Gateway = Gateway()
    """How requests come in."""
    clients: tuple[str, ...] = ()
    """Namespaces whose pods may ask; empty: all pods, and load balancers."""
    monitoring: Monitoring = "none"
    """Who collects the metrics: Prometheus' operator (PodMonitor, PrometheusRule), or GKE's
    managed Prometheus (PodMonitoring, Rules)."""
    alerts: Alerts = Alerts()
    """When somebody is told; needs `monitoring`."""
    startup_seconds: int = 900
    """Longest that a pod may take to read and warm up its model; later it is started anew."""
    drain_seconds: int = 25
    """From the moment when a pod gets no more new requests to its end: longer than load balancers
    take to learn of it, and longer than the longest request."""
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
            bool(_CORES.fullmatch(self.cpu)),
            f"target.cpu is {self.cpu!r}; give cores, as 2 or 500m",
        )
        check(
            not self.memory or bool(_MEMORY.fullmatch(self.memory)),
            f"target.memory is {self.memory!r}; give a quantity of Kubernetes, as 4Gi",
        )
        check(
            self.startup_seconds >= 60,
            f"target.startup_seconds is {self.startup_seconds}; give 60 or more, for the model to"
            " be read and its programs to be compiled",
        )
        check(
            5 <= self.drain_seconds <= 600,
            f"target.drain_seconds is {self.drain_seconds}; give 5 to 600",
        )
        check(
            self.scaling.requests_per_second == 0 or self.monitoring != "none",
            "target.scaling.requests_per_second needs metrics; give target.monitoring",
        )
        for volume in (*self.buckets, *self.claims):
            check(
                volume.path.startswith("/") and volume.path != "/",
                f"a volume's path is {volume.path!r}; give an absolute folder, /data",
            )
