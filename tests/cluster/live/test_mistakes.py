"""What a user of `podway launch kubernetes` reads where something is wrong; on a real cluster."""

import copy
import pathlib
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests import gcs
from tests.cluster.live import launches
from tests.cluster.live.launches import IMAGE, podway

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(600)]

SETS = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/podway/jobsets"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobsets.jobset.x-k8s.io"


@pytest.fixture(scope="module")
def work(hosts) -> pathlib.Path:
    return launches.workplace(hosts, slices=0)


def read(process: subprocess.Popen[str], text: str) -> str:
    """What it prints, as far as a line with this text."""
    found = ""
    assert process.stdout
    for line in process.stdout:
        found += line
        if text in line:
            return found
    raise AssertionError(found)


def leave(process: subprocess.Popen[str]) -> str:
    """Ctrl-C; the rest of what it prints."""
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    return rest


def there(plane) -> list[tuple[str, str, str]]:
    """All that launches have made: kind, name, and its version."""
    lists = [SETS, *(f"/api/v1/namespaces/podway/{kind}" for kind in ("configmaps", "pods"))]
    return [
        (path, each["metadata"]["name"], each["metadata"]["uid"])
        for path in lists
        for each in plane.client.items(path)
    ]


@pytest.fixture
def launch(plane, work):
    """Launches, and at the end stops what goes on."""

    def begin(*options: str) -> subprocess.Popen[str]:
        return podway(plane, *launches.command(work, *options))

    yield begin
    for each in plane.client.items(SETS):
        stop = podway(plane, "stop", each["metadata"]["name"])
        said, _ = stop.communicate(timeout=120)
        assert stop.returncode == 0, said
    pods = "/api/v1/namespaces/podway/pods"
    plane.wait("the end of all pods", lambda: not plane.client.items(pods))


def test_a_pod_without_a_machine_says_why_in_the_schedulers_words(plane, launch):
    process = launch("--target.resources.cpu", "1000", "--launch-name", "large")
    said = read(process, "Insufficient cpu")
    assert "launch large: waiting, data: 0 of 1 pods run" in said
    assert "  no machine for it yet: 0/1 nodes are available: 1 Insufficient cpu" in said
    assert "no longer followed, large goes on; `podway logs large` follows again" in leave(process)
    listed, _ = podway(plane, "jobs", "--json").communicate(timeout=60)
    assert "no machine for it yet" in listed


def test_an_image_that_is_not_there(hosts, launch):
    image = IMAGE.format("forgotten")
    hosts.absent.add(image)
    process = launch("--target.images.data", image, "--launch-name", "pull")
    said = read(process, "cannot be pulled")
    assert f"  the image {image} cannot be pulled: {image}: not found; is it pushed, and" in said
    leave(process)


def test_a_name_that_is_taken(plane, launch):
    process = launch("--target.resources.cpu", "1000", "--launch-name", "mine")
    read(process, "Insufficient cpu")
    leave(process)
    before = there(plane)
    other = launch("--trainer.steps", "7", "--launch-name", "mine")
    said, _ = other.communicate(timeout=120)
    assert other.returncode == 1
    assert said.splitlines()[-1] == (
        "podway: error: --launch-name mine: the name 'mine' is taken by another launch, of other"
        " content; give another --launch-name, or stop that one"
    )
    assert there(plane) == before


def test_a_bucket_without_rights(plane, launch):
    with gcs.denying() as store:
        variables = [
            f"{name}={store.environment()[name]}"
            for name in ("STORAGE_EMULATOR_HOST", "NO_GCE_CHECK")
        ]
        words = ("--workdir", "gs://bucket/w", "--target.environment", *variables)
        process = launch(*words, "--launch-name", "denied")
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 1, said
    last = said.splitlines()[-1]
    assert last.startswith("podway: error: denied has failed: denied-data-0-0-"), said
    assert "ended with 1 (the user must mend something: config, data, rights" in last
    assert f"{gcs.DENIED.removesuffix('.')}; grant the account that runs this the right" in last
    (job_set,) = plane.client.items(SETS)
    assert not job_set["status"].get("restarts")


@pytest.mark.parametrize("field", ["dependsOn", "onJobFailureMessagePatterns"])
def test_a_cluster_whose_jobset_is_too_old(plane, launch, field):
    """The real definition, without a field that came with a later version."""
    (version,) = plane.client.get(CRD)["spec"]["versions"]
    older = copy.deepcopy(version)
    spec = older["schema"]["openAPIV3Schema"]["properties"]["spec"]
    rules = spec["x-kubernetes-validations"]
    spec["x-kubernetes-validations"] = [rule for rule in rules if field not in rule["rule"]]
    fields = spec["properties"]["replicatedJobs"]["items"]["properties"]
    if field not in fields:
        rule = spec["properties"]["failurePolicy"]["properties"]["rules"]["items"]
        fields = rule["properties"]
    del fields[field]
    define(plane, older, lambda schema: field not in schema)
    before = there(plane)
    process = launch("--launch-name", "old")
    said, _ = process.communicate(timeout=120)
    define(plane, version, lambda schema: field in schema)
    assert process.returncode == 1
    last = said.splitlines()[-1]
    assert "JobSet old: the cluster's JobSet is too old" in last, said
    assert field in last
    assert "install JobSet 0.11 or later" in last
    assert there(plane) == before


def define(plane, version: dict, served: Callable[[str], bool]) -> None:
    """Defines JobSets otherwise, and waits until the server has it so."""
    plane.client.patch(CRD, {"spec": {"versions": [version]}})
    path = "/openapi/v3/apis/jobset.x-k8s.io/v1alpha2"
    plane.wait("the definition", lambda: served(str(plane.client.request("GET", path)[1])))
    plane.wait("its objects", lambda: plane.client.request("GET", SETS)[0] == 200)
