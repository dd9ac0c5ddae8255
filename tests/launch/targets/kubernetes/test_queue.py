import copy

import kubernetes_validate
import pytest

from podway.framework.error import ConfigError
from podway.launch.targets.kubernetes import check, queue
from podway.launch.targets.kubernetes.quotas import Queue
from tests.launch.targets.kubernetes.conftest import a_launch

QUEUE = Queue(
    quotas=(
        "v5e:4x4:spot=64",
        "h100:8=16",
        "v5e:8x8:flex-start=64",
        "v6e:8x8:reserved/Big-Block=256",
    ),
    namespaces=("research", "shop"),
)


def of_kind(made: list[dict], kind: str) -> list[dict]:
    return [each for each in made if each["kind"] == kind]


def test_objects_fit_together():
    made = queue.objects(QUEUE)
    assert not check.problems(made)
    assert not queue.problems(made)
    for each in of_kind(made, "Namespace") + of_kind(made, "PriorityClass"):
        kubernetes_validate.validate(each, "1.35", strict=True)


def test_a_launch_goes_to_the_machines_of_its_flavor():
    """Kueue passes over flavors whose labels a pod's node selector contradicts."""
    launch = a_launch(accelerator="v5e:4x4", capacity="spot")
    flavors = of_kind(queue.objects(QUEUE), "ResourceFlavor")
    (mine,) = [each for each in flavors if each["metadata"]["name"] == "v5e-4x4-spot"]
    assert mine["spec"]["nodeLabels"] == dict(launch.pool.selector)


def test_each_namespace_has_a_queue_and_no_other_may_ask():
    made = queue.objects(QUEUE)
    locals_ = of_kind(made, "LocalQueue")
    assert [each["metadata"]["namespace"] for each in locals_] == ["research", "shop"]
    (whole,) = of_kind(made, "ClusterQueue")
    (rule,) = whole["spec"]["namespaceSelector"]["matchExpressions"]
    assert rule["values"] == ["research", "shop"]


def test_flexible_machines_are_asked_for_when_it_is_their_turn():
    (whole,) = of_kind(queue.objects(QUEUE), "ClusterQueue")
    (rule,) = whole["spec"]["admissionChecksStrategy"]["admissionChecks"]
    assert rule["onFlavors"] == ["v5e-8x8-flex-start"]
    plain = queue.objects(Queue(quotas=("v5e:4x4=64",)))
    assert not of_kind(plain, "AdmissionCheck")


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        ("v5e", "give ACCELERATOR"),
        ("v5e:4x4", "give ACCELERATOR"),
        ("v5e:4x4:cheap=64", "capacity is one of"),
        ("v5e:3x3=64", "v5e:3x3"),
        ("v5e:4x4=8", "one launch takes 16 chips"),
        ("v5e:4x4:reserved=64", "reservation"),
        ("cpu:4=64", r"target\.cpu"),
    ],
)
def test_quotas_that_cannot_be(quota, message):
    with pytest.raises(ConfigError, match=message):
        queue.objects(Queue(quotas=(quota,)))


def test_a_kind_of_machine_is_named_once():
    with pytest.raises(ConfigError, match="twice"):
        queue.objects(Queue(quotas=("v5e:4x4=64", "v5e:4x4:on-demand=32")))


def _groups(made: list[dict]) -> list[dict]:
    (whole,) = of_kind(made, "ClusterQueue")
    return whole["spec"]["resourceGroups"]


BROKEN = {
    "there is no ResourceFlavor": lambda made: _groups(made)[1]["flavors"][0].update(name="x"),
    "has not the resources": lambda made: _groups(made)[1]["flavors"][0]["resources"].clear(),
    "is in two groups": lambda made: _groups(made).append(_groups(made)[0]),
    "there is no ClusterQueue": lambda made: of_kind(made, "LocalQueue")[0]["spec"].update(
        clusterQueue="x"
    ),
    "there is no AdmissionCheck": lambda made: made.remove(of_kind(made, "AdmissionCheck")[0]),
}
"""What a check says → how an object is broken so that it does."""


@pytest.mark.parametrize("said", BROKEN)
def test_each_check_catches_its_error(said):
    made = copy.deepcopy(queue.objects(QUEUE))
    BROKEN[said](made)
    assert any(said in problem for problem in queue.problems(made))
