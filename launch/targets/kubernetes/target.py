"""Kubernetes as a typed config: what to run on, as whom, from which images."""

import dataclasses
import re
from typing import Literal

from podway.framework.error import check
from podway.launch.targets import names

Capacity = Literal["on-demand", "spot", "reserved", "flex-start"]

DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|[KMGTP]i?)?")
_PAIR = re.compile(r"[^=\s]+=.*")


@dataclasses.dataclass(frozen=True)
class Images:
    """Container images, NAME@sha256:DIGEST each; built as docs/launch/images.md says."""

    train: str = ""
    """Of the training processes: train-tpu, train-cuda or train-cpu."""
    data: str = ""
    """Of the data stage: worker."""
    export: str = ""
    """Of evaluation and export: export."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            name = getattr(self, field.name)
            check(
                not name or bool(DIGEST.fullmatch(name)),
                f"target.images.{field.name} is {name!r}; give NAME@sha256:DIGEST: what a tag names"
                " may change while the run goes on",
            )


@dataclasses.dataclass(frozen=True)
class Resources:
    """What a pod without accelerators asks for."""

    cpu: str = "8"
    """Cores, "8" or "500m"."""
    memory: str = "32Gi"
    """Memory, which is also the limit."""

    def __post_init__(self):
        for name in ("cpu", "memory"):
            value = getattr(self, name)
            check(
                bool(_QUANTITY.fullmatch(value)),
                f"{name} is {value!r}; give a quantity of Kubernetes, as 4, 500m or 16Gi",
            )


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A bucket as a folder, by GKE's Cloud Storage FUSE. A workdir gs://… needs none."""

    bucket: str
    """Its name, without gs://."""
    path: str
    """Folder in the containers."""
    read_only: bool = False
    """Whether nothing is written."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim of the namespace; of several hosts it must be ReadWriteMany."""

    claim: str
    """Its name."""
    path: str
    """Folder in the containers."""


@dataclasses.dataclass(frozen=True)
class Kubernetes:
    """A Kubernetes cluster, and what of it a training run takes."""

    accelerator: str = "v5e:2x2"
    """TPUs as a topology, v5e:16x16; GPUs by number, h100:16; cpu:N for N machines without."""
    slices: int = 1
    """Slices of that topology, joined by the data centre's network."""
    capacity: Capacity = "on-demand"
    """How the machines are paid for. Spot machines are taken away with 15 s notice."""
    reservation: str = ""
    """Name of the reservation, with capacity "reserved"."""
    provider: Literal["gke", "any"] = "gke"
    """Whose labels nodes have. "any": those of node_selector alone."""
    region: str = "us-central1"
    """Where it is, for the price."""
    context: str = ""
    """Of the kubeconfig; empty: its current one."""
    namespace: str = "podway"
    """Where everything is put; it is made if there is none."""
    service_account: str = "podway"
    """Of Kubernetes, that the pods run as."""
    google_service_account: str = ""
    """E-mail of the Google service account that it stands for (workload identity). Without it the
    Kubernetes account itself needs the rights on the bucket."""
    images: Images = Images()
    """What runs."""
    queue: str = ""
    """Kueue's LocalQueue; empty: started at once."""
    priority: str = ""
    """Name of a PriorityClass."""
    buckets: tuple[Bucket, ...] = ()
    """Buckets that are mounted as folders."""
    claims: tuple[Claim, ...] = ()
    """Volumes that are mounted."""
    resources: Resources = Resources()
    """Of the pods of the data stage and of the export, and of CPU trainers."""
    node_selector: tuple[str, ...] = ()
    """Further labels that nodes must have, NAME=VALUE."""
    environment: tuple[str, ...] = ()
    """Environment variables of all containers, NAME=VALUE. No secrets: anyone may read them."""
    max_restarts: int = 20
    """Restarts of all processes after a crash or a lost machine. Announced preemptions don't
    count."""
    grace_seconds: int = 120
    """From SIGTERM to SIGKILL: more than a save takes."""
    keep_days: int = 7
    """Days after the end until the cluster forgets the job. The run itself stays in the workdir."""

    def __post_init__(self):
        check(self.slices >= 1, f"target.slices is {self.slices}; give 1 or more")
        check(
            self.max_restarts >= 1,
            f"target.max_restarts is {self.max_restarts}; give 1 or more, or a lost machine ends"
            " the run",
        )
        check(
            self.grace_seconds >= 30,
            f"target.grace_seconds is {self.grace_seconds}; give 30 or more, for a last save",
        )
        check(self.keep_days >= 0, f"target.keep_days is {self.keep_days}; give 0 or more")
        check(
            (self.capacity == "reserved") == bool(self.reservation),
            f"target.capacity is {self.capacity!r} and target.reservation {self.reservation!r}:"
            ' a reservation goes with capacity "reserved", and the other way round',
        )
        for name in ("namespace", "service_account", "queue", "priority"):
            value = getattr(self, name)
            may_lack = name in ("queue", "priority")
            check(
                names.is_legal(value) or (may_lack and not value),
                f"target.{name} is {value!r}; give small letters, digits and '-', at most 63",
            )
        for name in ("node_selector", "environment"):
            for pair in getattr(self, name):
                check(
                    bool(_PAIR.fullmatch(pair)),
                    f"target.{name} has {pair!r}; give NAME=VALUE",
                )
        for volume in (*self.buckets, *self.claims):
            check(
                volume.path.startswith("/") and volume.path != "/",
                f"a volume's path is {volume.path!r}; give an absolute folder, /data",
            )
