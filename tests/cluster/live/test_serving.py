"""`podway deploy kubernetes` on a real control plane: pods, routes, and a canary that ends."""

import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.cluster.nodes import Pool
from tests.export.server.conftest import write_model
from tests.launch.targets import models

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(1200)]

ROOT = pathlib.Path(__file__).parents[3]
IMAGE = "registry.example/podway/server@sha256:" + 64 * "0"
REST = "http://127.0.0.1:8501"


@pytest.fixture(scope="module")
def workdir(plane, hosts) -> pathlib.Path:
    """Two published versions in a volume, which has the same path here and in the pods."""
    hosts.add(Pool("cpu", 1))
    bind(plane)
    folder = hosts.claim("models")
    for version in (1, 2):
        assert models.add(folder, "m") == version
        write_model(folder / "models" / "m" / str(version), version)
    return folder


def bind(plane) -> None:
    """A claim with its volume, as a cluster's volume controller binds them."""
    about = {"name": "models", "namespace": "podway-serving"}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": about["namespace"]}}
    bound = {"pv.kubernetes.io/bind-completed": "yes"}
    shared = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    size = {"storage": "1Gi"}
    volume = {**shared, "capacity": size, "hostPath": {"path": "/models"}, "claimRef": about}
    volume["persistentVolumeReclaimPolicy"] = "Retain"
    claim = {**shared, "resources": {"requests": size}, "volumeName": "models"}
    for each in (
        space,
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "models"},
            "spec": volume,
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {**about, "annotations": bound},
            "spec": claim,
        },
    ):
        plane.client.made(each)


def deploy(plane, workdir: pathlib.Path, *arguments: str) -> str:
    """What the command says."""
    file = workdir / "target.py"
    file.write_text(
        "from podway.launch.targets.kubernetes.serving.config import *\n"
        "from podway.launch.targets.kubernetes.target import Claim\n"
        "def target():\n"
        f"    return Serving(server='podway', image={IMAGE!r}, provider='any', cpu='1',\n"
        f"        claims=(Claim('models', {str(workdir)!r}),), gateway=Gateway('public'),\n"
        "        monitoring='prometheus-operator', drain_seconds=5,\n"
        "        scaling=Scaling(least=1, requests_per_second=100))\n"
    )
    where = ["--workdir", str(workdir), "--target-file", str(file), "--yes"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "podway.launch.cli",
            "deploy",
            "kubernetes",
            "m",
            *where,
            *arguments,
        ],
        env=os.environ | {"KUBECONFIG": str(plane.folder / "kubeconfig")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def answer(seconds: float = 60) -> str:
    """The version that answers."""
    body = b'{"instances": [{"history": ["a", "b"]}]}'
    start = time.monotonic()
    while True:
        try:
            with urllib.request.urlopen(f"{REST}/v1/models/m:predict", body, timeout=5) as found:
                return json.loads(found.read())["predictions"][0]["item"][1]
        except OSError:
            assert time.monotonic() - start < seconds
            time.sleep(0.2)


def named(plane, kind: str) -> list[str]:
    group = {"deployments": "/apis/apps/v1", "services": "/api/v1"}
    group |= {"httproutes": "/apis/gateway.networking.k8s.io/v1"}
    items = plane.client.items(f"{group[kind]}/namespaces/podway-serving/{kind}")
    return sorted(each["metadata"]["name"] for each in items)


def test_a_version_serves_and_the_same_again_makes_nothing(plane, hosts, workdir):
    said = deploy(plane, workdir, "--stable", "1")
    assert "made Deployment m-stable" in said
    assert "m serves: stable 1" in said
    assert named(plane, "httproutes") == ["m"]
    assert answer() == "v1"
    again = deploy(plane, workdir, "--stable", "1")
    assert "made" not in again
    assert "m serves: stable 1" in again


def test_a_canary_has_objects_and_a_weight_until_it_ends(plane, hosts, workdir):
    """Its pod would need the first one's ports here: that it serves is not looked at."""
    said = deploy(plane, workdir, "--stable", "1", "--canary", "2")
    assert "m serves: stable 1, canary 2" in said
    (route,) = plane.client.items(
        "/apis/gateway.networking.k8s.io/v1/namespaces/podway-serving/httproutes"
    )
    assert [each["weight"] for each in route["spec"]["rules"][2]["backendRefs"]] == [95, 5]
    said = deploy(plane, workdir, "--stable", "1", "--no-canary")
    assert "took away Deployment m-canary" in said
    plane.wait("the canary's end", lambda: named(plane, "deployments") == ["m-stable"])
    assert named(plane, "services") == ["m", "m-stable"]
    assert answer() == "v1"
