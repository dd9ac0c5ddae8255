"""Where the data stage runs. Pure Python; none of it changes the dataset or its version."""

import dataclasses
from typing import Literal

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Engine:
    """Where the pipeline runs. Choose Local, Portable, Flink or Dataflow."""


@dataclasses.dataclass(frozen=True)
class Local(Engine):
    """In this process, by Beam's FnApiRunner: what is shuffled is held in memory."""

    workers: int = 1
    """Workers; more than one needs another mode than in_memory."""
    mode: Literal["in_memory", "multi_threading", "multi_processing"] = "in_memory"
    """How the workers run."""

    def __post_init__(self):
        check(self.workers >= 1, f"--workers is {self.workers}; give 1 or more")
        check(
            self.workers == 1 or self.mode != "in_memory",
            f"--workers is {self.workers} and --mode in_memory has one; give --mode multi_threading"
            " or multi_processing",
        )


@dataclasses.dataclass(frozen=True)
class Portable(Engine):
    """By a Beam job service, e.g. `python -m apache_beam.runners.portability.
    local_job_service_main`, with the workers of your choice."""

    job_endpoint: str = "localhost:8099"
    """Address of the job service."""
    environment: Literal["LOOPBACK", "EXTERNAL", "DOCKER", "PROCESS"] = "LOOPBACK"
    """Where workers run: in this process (a job service on this machine), in a pool that runs
    already (`python -m apache_beam.runners.worker.worker_pool_main`), in containers, or as
    processes of a given command."""
    environment_config: str = ""
    """EXTERNAL: the pool's address; DOCKER: the image; PROCESS: Beam's JSON with the command."""

    def __post_init__(self):
        check(bool(self.job_endpoint), "--job-endpoint is empty; give host:port of a job service")
        _check_environment(self.environment, self.environment_config)


@dataclasses.dataclass(frozen=True)
class Flink(Engine):
    """By Apache Flink: a cluster, or one in a Java process on this machine."""

    master: str = "[local]"
    """Address of the cluster's REST interface, host:port; [local]: on this machine."""
    version: Literal["1.19", "1.20", "2.0", "2.1", "2.2"] = "1.20"
    """The cluster's version; it chooses the job server."""
    parallelism: int = 1
    """Workers."""
    jar: str = ""
    """Job server's jar; empty: the one that `podway.beam.engines.flink_jar VERSION` fetched."""
    environment: Literal["LOOPBACK", "EXTERNAL", "DOCKER", "PROCESS"] = "LOOPBACK"
    """Where Python workers run: as for --runner portable; a cluster needs another than LOOPBACK."""
    environment_config: str = ""
    """EXTERNAL: the pool's address; DOCKER: the image; PROCESS: Beam's JSON with the command."""

    def __post_init__(self):
        check(self.parallelism >= 1, f"--parallelism is {self.parallelism}; give 1 or more")
        _check_environment(self.environment, self.environment_config)
        check(
            self.environment != "LOOPBACK" or self.master.startswith(("[", "localhost", "127.")),
            f"--environment is LOOPBACK, which a cluster at {self.master} cannot reach; give"
            " --environment DOCKER --environment-config IMAGE, or EXTERNAL",
        )


@dataclasses.dataclass(frozen=True)
class Dataflow(Engine):
    """By Google Cloud Dataflow; raw data and workdir must lie on gs://."""

    project: str = ""
    """Google Cloud project that pays."""
    region: str = "us-central1"
    """Region of the workers."""
    temp_location: str = ""
    """gs://BUCKET/FOLDER for temporary files; empty: WORKDIR/beam."""
    image: str = ""
    """Container image of the workers: Beam's, with podway[data] (`podway launch dataflow CONFIG
    --flex-template DIR` writes its Dockerfile)."""
    machine_type: str = "n2-highmem-4"
    """Machine type of the workers; each must hold one shard's events."""
    max_workers: int = 16
    """The most machines at a time."""
    disk_gb: int = 50
    """Disk of each worker."""
    service_account: str = ""
    """E-mail of the account that workers act as; empty: the project's default."""
    subnetwork: str = ""
    """Subnetwork, e.g. regions/us-central1/subnetworks/NAME; empty: the default network."""
    public_ips: bool = True
    """Whether workers have public addresses."""
    job_name: str = ""
    """Name of the job; empty: from the dataset's name and version."""
    endpoint: str = ""
    """Address of the jobs API; empty: Google's."""

    def __post_init__(self):
        check(self.max_workers >= 1, f"--max-workers is {self.max_workers}; give 1 or more")
        check(self.disk_gb >= 10, f"--disk-gb is {self.disk_gb}; give 10 or more")
        check(
            not self.temp_location or self.temp_location.startswith("gs://"),
            f"--temp-location is {self.temp_location!r}; give gs://BUCKET/FOLDER",
        )


ENGINES: dict[str, type[Engine]] = {
    "local": Local,
    "portable": Portable,
    "flink": Flink,
    "dataflow": Dataflow,
}
"""What --runner names."""


def _check_environment(environment: str, config: str) -> None:
    check(
        environment == "LOOPBACK" or bool(config),
        f"--environment is {environment}; say where with --environment-config",
    )
