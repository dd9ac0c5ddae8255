"""The services of one experiment on one cluster: names, labels, commands, and what is missing."""

import dataclasses
from typing import Literal

from podway.framework.config import Experiment
from podway.framework.config.online import SqliteQueue, SqliteStore
from podway.launch.targets import names
from podway.launch.targets.frozen import FILE, Frozen
from podway.launch.targets.kubernetes import pods
from podway.launch.targets.kubernetes.launch import OWN
from podway.launch.targets.kubernetes.services.config import Pods, Services

Service = Literal["gateway", "nearline", "lander"]
SERVICES: tuple[Service, ...] = ("gateway", "nearline", "lander")
PAGE = 9465
"""Port of a service's page of health and metrics."""
PORTS = {"rest": 8080, "grpc": 8081}
"""Of the gateway's answers."""
_NAME = 40
"""Characters of the experiment's name in names: a pod's has a service and two hashes more."""


@dataclasses.dataclass(frozen=True)
class Stack:
    """What is deployed.

    Attributes:
      experiment: whose `online` says where queue, store and model servers are.
      frozen: the experiment's files.
      target: the cluster.
      workdir: where artefacts lie, as the pods see it.
    """

    experiment: Experiment
    frozen: Frozen
    target: Services
    workdir: str

    @property
    def name(self) -> str:
        """Of what belongs to all services."""
        return names.legal(self.experiment.name, _NAME)

    def of(self, service: Service) -> str:
        """Name of what belongs to a service."""
        return f"{self.name}-{service}"

    def pods(self, service: Service) -> Pods:
        """How many, and how large."""
        return getattr(self.target, service)

    def selector(self, service: Service) -> dict[str, str]:
        """Labels of a service's pods; a Deployment's can never change."""
        return {
            "app.kubernetes.io/name": f"podway-{service}",
            f"{OWN}/experiment": self.name,
        }

    def labels(self, service: Service | None = None) -> dict[str, str]:
        """Of objects."""
        own = self.selector(service) if service else {f"{OWN}/experiment": self.name}
        return own | {"app.kubernetes.io/managed-by": "podway"}

    @property
    def config_map(self) -> str:
        """Of the frozen experiment: its hash is in the name, so that pods are made anew with it."""
        return f"{self.name}-{self.frozen.hash[:8]}"

    def command(self, service: Service) -> list[str]:
        """Of a service's container, on the frozen experiment."""
        found = ["podway", service, f"{pods.HOME}/{FILE}", "--workdir", self.workdir]
        found += ["--host", "0.0.0.0"]
        if service == "gateway":
            found += ["--port", str(PORTS["rest"]), "--grpc-port", str(PORTS["grpc"])]
        return [*found, "--page-port", str(PAGE)]

    def problems(self) -> list[str]:
        """What must be mended before anything is applied, a sentence each."""
        online, found = self.experiment.online, []
        if not self.target.image:
            found.append(
                "target.image is missing: give the image `online` as NAME@sha256:DIGEST"
                " (docs/launch/images.md)"
            )
        for part, kind, others in (
            ("queue", SqliteQueue, "Kafka, PubSub or RabbitMq"),
            ("store", SqliteStore, "Redis, Bigtable or Postgres"),
        ):
            if isinstance(getattr(online, part), kind):
                found.append(
                    f"online.{part} is a file of one machine, and pods have no such machine; set"
                    f" online.{part} to {others}"
                )
        inside = any(
            f"{self.workdir.rstrip('/')}/".startswith(f"{claim.path.rstrip('/')}/")
            for claim in self.target.claims
        )
        if "://" not in self.workdir and not inside:
            found.append(
                f"--workdir is {self.workdir!r}, a folder of this machine; give gs://BUCKET/FOLDER,"
                " or a folder of target.claims"
            )
        partitions = online.topics.partitions
        found += [
            f"target.{service}.most is {self.pods(service).most}, and the topic has {partitions}"
            f" partitions, each read by one pod; give target.{service}.most {partitions} or less,"
            " or more online.topics.partitions"
            for service in ("nearline", "lander")
            if self.pods(service).most > partitions
        ]
        return found
