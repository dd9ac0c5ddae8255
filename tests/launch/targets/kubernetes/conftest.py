import dataclasses
from typing import Any

import pytest

from podway.framework.config import Experiment
from podway.launch import experiments
from podway.launch.targets import frozen
from podway.launch.targets.kubernetes.launch import Launch
from podway.launch.targets.kubernetes.target import Images, Kubernetes

DIGEST = "registry.example/podway/{}@sha256:" + "ab" * 32
IMAGES = Images(*(DIGEST.format(kind) for kind in ("train", "data", "export")))


def an_experiment() -> Experiment:
    return experiments.load("movielens_sasrec")


def a_launch(**fields) -> Launch:
    """A launch of the demo's config on a target with these fields."""
    experiment = an_experiment()
    target = dataclasses.replace(Kubernetes(images=IMAGES), **fields)
    return Launch(experiment, frozen.freeze(experiment), target, "gs://bucket/w")


def an_event(kind: str, name: str, reason: str, message: str = "", **more) -> dict[str, Any]:
    """A warning, as a cluster keeps it."""
    return {
        "metadata": {"uid": f"{name}/{reason}/{message}"},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "involvedObject": {"kind": kind, "name": name, "uid": more.pop("of", None)},
        "lastTimestamp": "2026-01-01T00:00:10Z",
    } | more


@pytest.fixture
def launch() -> Launch:
    return a_launch()
