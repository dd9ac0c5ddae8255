"""The gateway's service as `gcloud run services replace` takes it, in Knative's form (run.v1).

The frozen experiment lies in the workdir, whose bucket each instance sees as a folder.
"""

import dataclasses
import hashlib
import json
import re
from typing import Any

from podway.framework.config import Experiment
from podway.framework.config.online import SqliteQueue, SqliteStore
from podway.launch.targets import names
from podway.launch.targets.cloud_run.gateway import CloudRunGateway
from podway.launch.targets.frozen import FILE, Frozen

HOME = "/podway/bucket"
"""Where the workdir's bucket is mounted."""
NO_IMAGE = "image-missing.invalid/podway-online@sha256:" + 64 * "0"
"""Stands in a dry run for an image that was not given."""
REST, GRPC = 8080, 8081
"""Ports; the service has one of them."""
_NAME = 41
"""Characters of the experiment's name, of 49 that a service's may have: `-gateway` comes behind."""
_WORKDIR = re.compile(r"gs://([^/]+)/?(.*)")
_LOCAL = re.compile(r"(http://)?(127\.|localhost\b|\[::1\])")


@dataclasses.dataclass(frozen=True)
class GatewayService:
    """What is deployed.

    Attributes:
      experiment: whose `online` says where queue, store and model server are.
      frozen: it and the user's sources, as files.
      target: the place, and how much of it.
      workdir: where rollouts stand, gs://….
    """

    experiment: Experiment
    frozen: Frozen
    target: CloudRunGateway
    workdir: str

    @property
    def name(self) -> str:
        """Of the service."""
        return f"{names.legal(self.experiment.name, _NAME)}-gateway"

    @property
    def folder(self) -> str:
        """Of the frozen experiment, in the workdir."""
        return f"launches/{self.experiment.name}-{self.frozen.hash[:8]}"

    @property
    def revision(self) -> str:
        """Name of the revision: its content is in it, so that the same is the same revision."""
        said = json.dumps([_template(self), dataclasses.asdict(self.target)]).encode()
        return f"{self.name}-{hashlib.sha256(said).hexdigest()[:8]}"

    @property
    def bucket(self) -> str:
        """That of the workdir; "": it is in none."""
        found = _WORKDIR.fullmatch(self.workdir.rstrip("/"))
        return found[1] if found else ""

    @property
    def port(self) -> int:
        """That answers."""
        return GRPC if self.target.protocol == "grpc" else REST

    def arguments(self) -> list[str]:
        """Of `podway`."""
        found = _WORKDIR.fullmatch(self.workdir.rstrip("/"))
        path = [HOME, found[2] if found else "", self.folder, FILE]
        return [
            *("gateway", "/".join(filter(None, path)), "--workdir", self.workdir),
            *("--host", "0.0.0.0", "--port", str(REST), "--grpc-port", str(GRPC)),
            *("--workers", str(self.target.cpu)),
        ]

    def problems(self) -> list[str]:
        """What must be mended before anything is deployed, a sentence each."""
        online, found = self.experiment.online, []
        for name in ("project", "image"):
            if not getattr(self.target, name):
                found.append(f"target.{name} is missing: give it")
        if not self.bucket:
            found.append(
                f"--workdir is {self.workdir!r}; an instance of Cloud Run keeps nothing: give"
                " gs://BUCKET/FOLDER"
            )
        for part, kind, others in (
            ("queue", SqliteQueue, "KafkaQueue, PubsubQueue or RabbitmqQueue"),
            ("store", SqliteStore, "RedisStore, BigtableStore or PostgresStore"),
        ):
            if isinstance(getattr(online, part), kind):
                found.append(
                    f"online.{part} is a file of one machine, and instances have no such machine;"
                    f" set online.{part} to {others}"
                )
        servers = {"gateway.server": online.gateway.server}
        if online.gateway.ranker.model:
            servers["gateway.ranker.server"] = online.gateway.ranker.server
        found += [
            f"online.{name} is {address!r}, the instance itself; give the address of a model server"
            for name, address in servers.items()
            if _LOCAL.match(address)
        ]
        if online.gateway.access.kind == "token" and online.gateway.access.tokens:
            found.append(
                f"online.gateway.access.tokens is the file {online.gateway.access.tokens!r}, which"
                ' no instance has; set it to "", and give the lines by target.secrets in the'
                " variable PODWAY_GATEWAY_TOKENS"
            )
        return found

    def notes(self) -> list[str]:
        """What may go wrong, and cannot be seen from here."""
        found = []
        network = self.target.network
        if not (network.subnet or network.connector):
            found.append(
                "without target.network nothing of a private address is reached, as Redis of"
                " Memorystore is"
            )
        if self.target.least == 0:
            found.append(
                "with target.least 0 the first request waits, and finds nothing remembered"
            )
        return found


def service(wanted: GatewayService) -> dict[str, Any]:
    """The service."""
    labels = _labels(wanted)
    target, template = wanted.target, _template(wanted)
    template["metadata"]["name"] = wanted.revision
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": wanted.name,
            "labels": {"cloud.googleapis.com/location": target.region, **labels},
            "annotations": {"run.googleapis.com/ingress": target.ingress},
        },
        "spec": {
            "template": template,
            "traffic": [{"revisionName": wanted.revision, "percent": 100, "tag": "gateway"}],
        },
    }


def _labels(wanted: GatewayService) -> dict[str, str]:
    return {"podway-experiment": names.legal(wanted.experiment.name), "managed-by": "podway"}


def _template(wanted: GatewayService) -> dict[str, Any]:
    """Of the revision, without its name."""
    target = wanted.target
    account = {"serviceAccountName": target.service_account} if target.service_account else {}
    return {
        "metadata": {"labels": _labels(wanted), "annotations": _annotations(target)},
        "spec": {
            "containerConcurrency": target.concurrency * target.cpu,
            "timeoutSeconds": target.timeout_seconds,
            **account,
            "containers": [_container(wanted)],
            "volumes": [
                {
                    "name": "workdir",
                    "csi": {
                        "driver": "gcsfuse.run.googleapis.com",
                        "readOnly": True,
                        "volumeAttributes": {"bucketName": wanted.bucket},
                    },
                }
            ],
        },
    }


def _annotations(target: CloudRunGateway) -> dict[str, str]:
    found = {
        "autoscaling.knative.dev/minScale": str(target.least),
        "autoscaling.knative.dev/maxScale": str(target.most),
        # The first environment mounts no buckets.
        "run.googleapis.com/execution-environment": "gen2",
        "run.googleapis.com/startup-cpu-boost": "true",
        # What was shown is published, and lists are read, while nobody asks.
        "run.googleapis.com/cpu-throttling": "false",
        # What was answered last is in the memory of the instance that did.
        "run.googleapis.com/sessionAffinity": "true",
    }
    network = target.network
    if network.connector:
        found["run.googleapis.com/vpc-access-connector"] = network.connector
    if network.subnet:
        interface = {"network": network.network or "default", "subnetwork": network.subnet}
        found["run.googleapis.com/network-interfaces"] = json.dumps([interface])
    if network.connector or network.subnet:
        way = "all-traffic" if network.everything else "private-ranges-only"
        found["run.googleapis.com/vpc-access-egress"] = way
    return found


def _container(wanted: GatewayService) -> dict[str, Any]:
    target = wanted.target
    named = "h2c" if target.protocol == "grpc" else "http1"
    return {
        "name": "gateway",
        "image": target.image or NO_IMAGE,
        "command": ["podway"],
        "args": wanted.arguments(),
        "env": [
            {
                "name": each.variable,
                "valueFrom": {"secretKeyRef": {"name": each.secret, "key": each.version}},
            }
            for each in target.secrets
        ],
        "ports": [{"name": named, "containerPort": wanted.port}],
        "resources": {"limits": {"cpu": str(target.cpu), "memory": target.memory}},
        **_probes(wanted),
        "volumeMounts": [{"name": "workdir", "mountPath": HOME}],
    }


def _probes(wanted: GatewayService) -> dict[str, Any]:
    """By REST: whether it answers at all, and whether it has something to answer with; what has not
    gets no requests, and is left alone. gRPC's health has one question, the second."""
    times = {"periodSeconds": 10, "timeoutSeconds": 5}
    if wanted.target.protocol == "grpc":
        ready: dict[str, Any] = {"grpc": {"port": GRPC}, **times}
        return {
            "startupProbe": {**ready, "failureThreshold": 24},
            "readinessProbe": {**ready, "failureThreshold": 3},
        }
    live = {"httpGet": {"path": "/livez", "port": REST}, **times}
    ready = {"httpGet": {"path": "/readyz", "port": REST}, **times}
    return {
        "startupProbe": {**live, "failureThreshold": 24},
        "livenessProbe": {**live, "failureThreshold": 6},
        "readinessProbe": {**ready, "failureThreshold": 3},
    }
