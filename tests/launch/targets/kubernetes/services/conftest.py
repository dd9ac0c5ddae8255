"""Stacks of services, as they are deployed."""

import dataclasses
from typing import Any

from podway.configs import movielens_sasrec
from podway.framework.config import Experiment
from podway.framework.config.online import Online, Queue, Store
from podway.launch.targets import frozen
from podway.launch.targets.kubernetes.services.config import Entrance, Pods, Services
from podway.launch.targets.kubernetes.services.stack import Stack
from podway.launch.targets.kubernetes.target import Claim

IMAGE = f"registry.example/podway-online@sha256:{64 * 'a'}"
TARGETS: dict[str, tuple[Services, str]] = {
    "services": (
        Services(
            image=IMAGE,
            google_service_account="online@project.iam.gserviceaccount.com",
            secret="online",
            entrance=Entrance("public", namespace="gateways", host="recommend.example"),
            clients=("shop",),
            monitoring="gke",
            priority="users",
        ),
        "gs://bucket/w",
    ),
    "services_any": (
        Services(
            image=IMAGE,
            claims=(Claim("artefacts", "/data"),),
            lander=Pods(least=1, most=2, memory="512Mi"),
            monitoring="prometheus-operator",
        ),
        "/data/w",
    ),
}


def experiment(**changes: Any) -> Experiment:
    """One whose queue and store are of no machine alone."""
    online = dataclasses.replace(Online(), **({"queue": Queue(), "store": Store()} | changes))
    return dataclasses.replace(movielens_sasrec.experiment(), online=online)


def stack(name: str, **changes: Any) -> Stack:
    """By name of its target."""
    target, workdir = TARGETS[name]
    found = experiment(**changes)
    return Stack(found, frozen.freeze(found), target, workdir)
