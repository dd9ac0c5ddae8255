"""All that we render: images by their digests, and nobody's rights."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from podway.launch.targets.kubernetes import check
from podway.launch.targets.kubernetes.target import DIGEST

GOLDEN = sorted((pathlib.Path(__file__).parents[2] / "golden" / "launch").glob("*.yaml"))


def pods(each: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The specs of an object's pods; Cloud Run's, too."""
    if each["apiVersion"].startswith("serving.knative.dev"):
        yield each["spec"]["template"]["spec"]
    elif each["apiVersion"].startswith("run.googleapis.com"):
        yield each["spec"]["template"]["spec"]["template"]["spec"]
    else:
        yield from (template["spec"] for _, template in check.templates(each))


def found(path: pathlib.Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Containers of a golden file, each with its object."""
    objects = [each for each in yaml.safe_load_all(path.read_text()) if each]
    return [
        (each, spec | container)
        for each in objects
        for spec in pods(each)
        for container in (*spec.get("initContainers", ()), *spec["containers"])
    ]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_image_is_named_by_its_digest(path):
    containers = found(path)
    assert containers
    assert {text.strip() for text in path.read_text().splitlines() if "image:" in text} == {
        f"image: {container['image']}" for _, container in containers
    }, "all of them were seen"
    for _, container in containers:
        assert DIGEST.fullmatch(container["image"]), container["name"]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_pod_of_a_cluster_is_nobody(path):
    for each in yaml.safe_load_all(path.read_text()):
        for _, template in check.templates(each) if each else ():
            rights = template["spec"]["securityContext"]
            assert rights["runAsNonRoot"]
            assert rights["runAsUser"] == 10001
