"""What is refused before it waits for ever; the same of a real Kueue is in tests/cluster/live."""

import copy
from typing import Any

import pytest

from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes import admission, queue, retrain, training
from podway.launch.targets.kubernetes.cluster import ForbiddenError
from podway.launch.targets.kubernetes.quotas import Queue
from podway.launch.targets.kubernetes.schedule import Schedule
from podway.launch.targets.kubernetes.target import Resources
from tests.launch.targets.kubernetes.conftest import a_launch

QUEUE = Queue(quotas=("v5e:4x4:spot=32", "v5e:2x4=8", "h100:8=16"), name="lab", cpu="20")


class Objects:
    """Stands for a cluster that has these, of which some kinds may not be read."""

    namespace = "podway"

    def __init__(self, objects: list[dict[str, Any]], forbidden: str = ""):
        self._objects, self._forbidden = objects, forbidden

    def get(self, version: str, kind: str, name: str) -> dict[str, Any] | None:
        found = [each for each in self.list(version, kind) if each["metadata"]["name"] == name]
        return found[0] if found else None

    def list(self, version: str, kind: str) -> list[dict[str, Any]]:
        if kind == self._forbidden:
            raise ForbiddenError(f"{kind}: you may not do this")
        return [each for each in self._objects if each["kind"] == kind]


def refusal(objects: list[dict[str, Any]], forbidden: str = "", **target: Any) -> str:
    """Why a launch is refused; "": it is not."""
    given = {"accelerator": "v5e:2x4", "queue": "lab"} | target
    job_set = training.job_set(a_launch(**given))
    try:
        admission.check(Objects(objects, forbidden), job_set)  # pyright: ignore[reportArgumentType]
    except LaunchError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"accelerator": "h100:16"},
        {"accelerator": "v5e:4x4", "slices": 2, "capacity": "spot"},
        {"priority": "podway-high"},
        {"queue": "", "accelerator": "v5e:16x16"},
    ],
)
def test_what_the_quota_is_enough_for(target):
    assert refusal(queue.objects(QUEUE), **target) == ""


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"queue": "shop"}, "has no LocalQueue of that name (there are: lab)"),
        ({"slices": 2}, "needs 16 google.com/tpu at once, more than its quota (v5e-2x4: 8)"),
        ({"accelerator": "v5e:8x8"}, "topology=8x8; its quotas are of v5e-4x4-spot: 32, v5e-2x4:"),
        ({"accelerator": "v5e:4x4"}, "of machines with "),
        ({"accelerator": "cpu:4"}, "needs 32 cpu at once, more than its quota (machines: 20)"),
        ({"priority": "first"}, "target.priority is 'first', a PriorityClass"),
    ],
)
def test_what_waits_for_ever(target, said):
    assert said in refusal(queue.objects(QUEUE), **target)


def test_machines_without_any_quota():
    plain = queue.objects(Queue(quotas=("h100:8=16",), name="lab"))
    assert "no quota for google.com/tpu, only for cpu, memory, nvidia.com/gpu" in refusal(plain)


def test_a_queue_of_nothing():
    alone = [each for each in queue.objects(QUEUE) if each["kind"] != "ClusterQueue"]
    assert "whose ClusterQueue 'lab' is not there" in refusal(alone)


def test_what_the_clock_starts_waits_too():
    launch = a_launch(accelerator="cpu:1", queue="lab", resources=Resources("30", "1Gi"))
    cron_job = retrain.objects(launch, Schedule())[-1]
    with pytest.raises(LaunchError, match="needs 30 cpu at once"):
        admission.check(Objects(queue.objects(QUEUE)), cron_job)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("field", ["cohort", "cohortName"])
def test_queues_that_borrow_may_have_more(field):
    lent = copy.deepcopy(queue.objects(QUEUE))
    (whole,) = [each for each in lent if each["kind"] == "ClusterQueue"]
    whole["spec"][field] = "all"
    assert refusal(lent, slices=2) == ""


@pytest.mark.parametrize("kind", ["LocalQueue", "ClusterQueue", "ResourceFlavor"])
def test_what_may_not_be_read_is_left_to_the_queue(kind):
    assert refusal(queue.objects(QUEUE), kind, slices=2) == ""


def test_priorities_that_may_not_be_read():
    assert refusal(queue.objects(QUEUE), "PriorityClass", priority="first") == ""
