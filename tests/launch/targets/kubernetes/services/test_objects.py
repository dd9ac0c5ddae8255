"""Manifests of the online services."""

import dataclasses
import pathlib

import kubernetes_validate
import pytest

from podway.framework.config.online import SqliteQueue, SqliteStore, Topics
from podway.framework.error import ConfigError
from podway.launch.targets.kubernetes import check, yaml_text
from podway.launch.targets.kubernetes.services.config import Entrance, Pods, Services
from podway.launch.targets.kubernetes.services.objects import objects
from podway.launch.targets.kubernetes.services.stack import SERVICES
from tests.launch.targets.kubernetes.services.conftest import IMAGE, TARGETS, stack

GOLDEN = pathlib.Path(__file__).parents[4] / "golden" / "launch"
_CUSTOM = {"HTTPRoute", "PodMonitor", "PodMonitoring"}


def rendered(name: str) -> str:
    """Without the experiment, which has golden files of its own."""
    found = objects(stack(name))
    for each in found:
        if each["kind"] == "ConfigMap":
            each["data"] = {"experiment.json": "…"}
    return yaml_text.of(found).replace(stack(name).config_map, "CONFIG")


@pytest.mark.parametrize("name", TARGETS)
def test_golden(name):
    """`python -m tests.launch.targets.kubernetes.services.test_objects` writes them anew."""
    assert rendered(name) == (GOLDEN / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", TARGETS)
def test_no_check_has_a_word(name):
    found = stack(name)
    assert not check.problems(objects(found))
    assert not found.problems()


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_no_custom_resource_is_valid(name):
    for each in objects(stack(name)):
        if each["kind"] not in _CUSTOM:
            kubernetes_validate.validate(each, "1.35", strict=True)


@pytest.mark.parametrize("service", SERVICES)
def test_each_is_scaled_alone_and_asked_on_its_own_port(service):
    made = [each for each in objects(stack("services")) if each["kind"] == "Deployment"]
    (own,) = [each for each in made if each["metadata"]["name"].endswith(f"-{service}")]
    assert "replicas" not in own["spec"]
    (container,) = own["spec"]["template"]["spec"]["containers"]
    assert container["args"][0] == service
    ports = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_what_pods_cannot_share_is_refused():
    found = stack("services", queue=SqliteQueue(), store=SqliteStore(), topics=Topics(partitions=2))
    found = dataclasses.replace(found, workdir="w", target=Services(lander=Pods(most=3)))
    said = "\n".join(found.problems())
    for part in (
        *("target.image is missing", "online.queue is a file", "online.store is a file"),
        *("--workdir is 'w'", "target.lander.most is 3", "target.nearline.most is 4"),
    ):
        assert part in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Services(image="podway-online:latest"), "target.image"),
        (lambda: Services(namespace="Podway"), "target.namespace"),
        (lambda: Services(drain_seconds=0), "target.drain_seconds"),
        (lambda: Pods(least=3, most=2), "most of a service's pods"),
        (lambda: Pods(cpu="two"), "cpu of a service's pods"),
        (lambda: Pods(memory="1 GB"), "memory of a service's pods"),
        (lambda: Entrance(host="recommend.example"), "target.entrance.name"),
    ],
)
def test_a_wrong_target_is_named(wrong, said):
    with pytest.raises(ConfigError, match=said):
        wrong()


def test_another_experiment_makes_other_pods():
    one, other = stack("services"), stack("services", topics=Topics(events="plays"))
    assert one.config_map != other.config_map
    assert IMAGE in yaml_text.of(objects(one))


if __name__ == "__main__":
    for name in TARGETS:
        (GOLDEN / f"{name}.yaml").write_text(rendered(name))
