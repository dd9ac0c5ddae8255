"""Cloud Run as typed configs: a service that answers, a job that ends.

What Cloud Run allows: docs.cloud.google.com/run/docs/configuring/services/cpu, …/memory-limits,
…/healthchecks, …/gpu, …/quotas.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Literal

from podway.framework.error import check
from podway.launch.targets.kubernetes.target import DIGEST
from podway.launch.targets.server import Server

MEMORY: Mapping[int, tuple[float, float]] = {
    1: (0.5, 4),
    2: (0.5, 8),
    4: (2, 16),
    6: (4, 24),
    8: (4, 32),
}
"""Cores → least and most GiB of memory, of the second execution environment."""
GPU_CORES, GPU_GIB = 4, 16
"""What an instance with a GPU has at least."""
STARTUP_SECONDS = 240
"""Longest that an instance may take until it serves."""
CONCURRENCY = 1000
"""Most requests that an instance may be given at once."""
_MEMORY = re.compile(r"(\d+)(Mi|Gi)")
_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_REGION = re.compile(r"[a-z]+-[a-z]+\d+")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where on Google Cloud, and as whom."""

    project: str = ""
    """Id of the project."""
    region: str = "us-central1"
    """Of Cloud Run; the bucket had better be there, too."""
    service_account: str = ""
    """E-mail of the Google service account; it reads the bucket. Empty: the project's default one,
    which may do much more."""
    image: str = ""
    """NAME@sha256:DIGEST, in Artifact Registry."""

    def __post_init__(self):
        check(
            not self.project or bool(_PROJECT.fullmatch(self.project)),
            f"target.project is {self.project!r}; give the id of a project: small letters, digits"
            " and '-', 6 to 30",
        )
        check(
            bool(_REGION.fullmatch(self.region)),
            f"target.region is {self.region!r}; give a region, as europe-west4",
        )
        check(
            not self.image or bool(DIGEST.fullmatch(self.image)),
            f"target.image is {self.image!r}; give NAME@sha256:DIGEST: what a tag names may change"
            " between two instances",
        )

    @property
    def parent(self) -> str:
        """The place, as Google's API has it."""
        return f"projects/{self.project}/locations/{self.region}"


@dataclasses.dataclass(frozen=True)
class CloudRun(Place):
    """Servers of one model that come and go with its requests."""

    server: Server = "tensorflow-serving"
    """The stock server, or "podway": the embedded one."""
    protocol: Literal["rest", "grpc"] = "rest"
    """What is answered: a service has one port."""
    cpu: int = 2
    """Cores of an instance: 1, 2, 4, 6 or 8."""
    memory: str = ""
    """Memory of an instance, as 4Gi; empty: from the size of the SavedModel."""
    gpu: Literal["", "nvidia-l4", "nvidia-rtx-pro-6000"] = ""
    """A GPU for each instance; empty: none."""
    zonal_redundancy: bool = False
    """With a GPU: whether the loss of a zone is provided for, which costs more."""
    least: int = 0
    """Instances without a request; 0: none, and the first request waits until a model is read."""
    most: int = 10
    """Instances, whatever the load."""
    concurrency: int = 0
    """Requests that an instance is given at once; 0: from the batch sizes of the export."""
    timeout_seconds: int = 60
    """Longest that a request may take."""
    startup_seconds: int = STARTUP_SECONDS
    """Longest that an instance may take to read and warm up its model."""
    ingress: Literal["internal", "internal-and-cloud-load-balancing", "all"] = "internal"
    """Where requests may come from. Who may ask is a matter of IAM: roles/run.invoker."""
    canary_percent: int = 5
    """Of the requests, while there is a canary."""

    def __post_init__(self):
        super().__post_init__()
        check_cpu(self.cpu, self.memory)
        check(
            not self.gpu or self.cpu >= GPU_CORES,
            f"target.cpu is {self.cpu}; an instance with a GPU has {GPU_CORES} cores or more",
        )
        check(
            not (self.gpu and self.memory) or gib(self.memory) >= GPU_GIB,
            f"target.memory is {self.memory!r}; an instance with a GPU has {GPU_GIB}Gi or more",
        )
        check(
            self.gpu != "" or not self.zonal_redundancy,
            "target.zonal_redundancy is for GPUs; give target.gpu, or leave it out",
        )
        check(0 <= self.least <= self.most, f"target.least is {self.least}; give 0 to target.most")
        check(self.most >= 1, f"target.most is {self.most}; give 1 or more")
        check(
            0 <= self.concurrency <= CONCURRENCY,
            f"target.concurrency is {self.concurrency}; give 1 to {CONCURRENCY}, or 0",
        )
        check(
            1 <= self.timeout_seconds <= 3600,
            f"target.timeout_seconds is {self.timeout_seconds}; give 1 to 3600",
        )
        check(
            10 <= self.startup_seconds <= STARTUP_SECONDS,
            f"target.startup_seconds is {self.startup_seconds}; Cloud Run waits no longer than"
            f" {STARTUP_SECONDS} s: give 10 to {STARTUP_SECONDS}",
        )
        check(
            0 <= self.canary_percent <= 100,
            f"target.canary_percent is {self.canary_percent}; give 0 to 100",
        )


@dataclasses.dataclass(frozen=True)
class CloudRunJob(Place):
    """One machine that runs a verb to its end: training of a small model, or predictions."""

    cpu: int = 8
    """Cores: 1, 2, 4, 6 or 8."""
    memory: str = "32Gi"
    """Memory; files that are written outside of the workdir count, too."""
    hours: float = 12.0
    """Longest that a try may take."""
    retries: int = 5
    """Tries after one that failed: each goes on from the last save."""

    def __post_init__(self):
        super().__post_init__()
        check_cpu(self.cpu, self.memory)
        check(0 < self.hours <= 24, f"target.hours is {self.hours:g}; give more than 0, to 24")
        check(0 <= self.retries <= 10, f"target.retries is {self.retries}; give 0 to 10")


def gib(memory: str) -> float:
    """GiB of a quantity, "512Mi" or "4Gi"."""
    found = _MEMORY.fullmatch(memory)
    assert found is not None, memory
    return int(found[1]) / (1024 if found[2] == "Mi" else 1)


def check_cpu(cpu: int, memory: str) -> None:
    """Raises ConfigError: Cloud Run has no such machine."""
    check(
        cpu in MEMORY,
        f"target.cpu is {cpu}; Cloud Run has {', '.join(map(str, MEMORY))} cores",
    )
    if not memory:
        return
    check(
        bool(_MEMORY.fullmatch(memory)),
        f"target.memory is {memory!r}; give a quantity, as 512Mi or 4Gi",
    )
    least, most = MEMORY[cpu]
    wanted = gib(memory)
    check(
        least <= wanted <= most,
        f"target.memory is {memory!r}; with target.cpu {cpu} give {least:g}Gi to {most:g}Gi"
        + (f", or target.cpu {cores_for(wanted)}" if wanted > most else ""),
    )


def cores_for(wanted: float) -> int:
    """The fewest cores that may have so many GiB; the most that there are where none may."""
    return next((cores for cores, (_, most) in MEMORY.items() if most >= wanted), max(MEMORY))
