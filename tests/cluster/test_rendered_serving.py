"""Deployed models, services, queues, training by the clock: the API server's own validation."""

import copy
from typing import Any

import pytest

from podway.launch.targets.kubernetes import queue, retrain
from podway.launch.targets.kubernetes.schedule import Schedule
from podway.launch.targets.kubernetes.services.objects import objects as of_services
from podway.launch.targets.kubernetes.serving.objects import objects
from tests.cluster import programs
from tests.cluster.validation import validate
from tests.launch.targets.kubernetes import test_retrain
from tests.launch.targets.kubernetes.conftest import a_launch
from tests.launch.targets.kubernetes.services.conftest import TARGETS as SERVICES
from tests.launch.targets.kubernetes.services.conftest import stack
from tests.launch.targets.kubernetes.serving.conftest import TARGETS, deployed
from tests.launch.targets.kubernetes.test_queue import QUEUE

pytestmark = pytest.mark.slow

UNKNOWN = {"HealthCheckPolicy", "GCPBackendPolicy"}
"""GKE's kinds, whose definitions are in no public module."""


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    if why := programs.missing():
        pytest.skip(f"no manifest is validated: {why}")
    programs.build("validate")


@pytest.mark.parametrize("name", TARGETS)
def test_servers_are_valid(name):
    made = [each for each in objects(deployed(name)) if each["kind"] not in UNKNOWN]
    assert validate(made) == []


@pytest.mark.parametrize("name", test_retrain.TARGETS)
def test_training_by_the_clock_is_valid(name):
    launch = a_launch(**test_retrain.TARGETS[name])
    made = retrain.objects(launch, Schedule(time_zone="Europe/Berlin"))
    assert validate(made) == []


def test_a_clock_of_nowhere_is_none():
    """What our own config lets pass is caught by the API server's code."""
    launch = a_launch(**test_retrain.TARGETS["tpu"])
    made = retrain.objects(launch, Schedule(schedule="61 3 * * *", time_zone="Europe/Berlinn"))
    said = " ".join(validate(made))
    assert "timeZone" in said
    assert "schedule" in said


@pytest.mark.parametrize("name", SERVICES)
def test_online_services_are_valid(name):
    assert validate(of_services(stack(name))) == []


def test_queues_are_valid():
    made = queue.objects(QUEUE)
    assert len(made) > 10
    assert validate(made) == []


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("HTTPRoute", ("rules", 0, "backendRefs", 0)),
        ("GRPCRoute", ("rules", 0, "matches", 0)),
        ("PodMonitoring", ("endpoints", 0)),
        ("Rules", ("groups", 0)),
        ("HorizontalPodAutoscaler", ("metrics", 0)),
    ],
)
def test_a_misspelt_field_is_caught(kind, path):
    made = objects(deployed("serving"))
    each: dict[str, Any] = copy.deepcopy(next(one for one in made if one["kind"] == kind))
    place = each["spec"]
    for step in path:
        place = place[step]
    place["wieght"] = 1
    assert "wieght" in " ".join(validate([each]))
