"""A cycle of `podway loop` as a CronJob's pod does it: it hands its training to a JobSet."""

import json
import pathlib
import re
import shutil

import pytest
import yaml

from tests.cluster.live import jobsets, launches
from tests.cluster.live.launches import podway
from tests.cluster.live.test_training import losses

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(3600)]

SPACE = "podway"
STEPS = 200
"""More than are done until a second pod has begun."""
JOBS = f"/apis/batch/v1/namespaces/{SPACE}/jobs"
PODS = f"/api/v1/namespaces/{SPACE}/pods"


@pytest.fixture(scope="module")
def work(hosts) -> pathlib.Path:
    return launches.workplace(hosts, slices=1)


def job(plane, name: str, made: list[dict]) -> None:
    """Makes the CronJob's Job, as its controller would at the hour."""
    (template,) = [each["spec"]["jobTemplate"] for each in made if each["kind"] == "CronJob"]
    metadata = template.get("metadata", {}) | {"name": name, "namespace": SPACE}
    plane.client.made({"apiVersion": "batch/v1", "kind": "Job", **template, "metadata": metadata})


def test_a_cycle_outlives_its_pod_and_ends_with_a_served_model(plane, hosts, work):
    # In place of the token that a pod finds on a cluster; in a folder that the pod has.
    shutil.copy(plane.folder / "kubeconfig", work)
    variable = f"KUBECONFIG={work / 'kubeconfig'}"
    words = ["launch", "retrain", str(work / "shop.py"), "--target-file", str(work / "target.py")]
    words += ["--target.environment", variable, "--workdir", str(work / "w"), "--dry-run"]
    words += ["--mesh.fsdp", "1", "--trainer.log-every", "1", "--trainer.steps", str(STEPS)]
    words += ["--output", str(work / "objects")]
    said, _ = podway(plane, *words).communicate(timeout=300)
    made = [yaml.safe_load(path.read_text()) for path in sorted((work / "objects").iterdir())]
    assert {each["kind"] for each in made} >= {"CronJob", "Role"}, said
    for each in sorted(made, key=lambda each: each["kind"] != "Namespace"):
        status, answer = plane.client.apply(each)
        assert status in (200, 201), answer
    job(plane, "shop-1", made)

    plane.wait("training", lambda: losses(work / "w"), seconds=900)
    (first,) = [
        pod["metadata"]["name"]
        for pod in plane.client.items(f"{PODS}?labelSelector=batch.kubernetes.io/job-name%3Dshop-1")
    ]
    plane.client.delete(f"{PODS}/{first}")
    plane.wait(
        "the end",
        lambda: plane.client.get(f"{JOBS}/shop-1")["status"].get("succeeded"),
        seconds=900,
    )
    (cycle,) = [json.loads(each.read_text()) for each in work.glob("w/loops/shop/cycles/*.json")]
    assert cycle["outcome"] == "served", cycle
    assert list(work.glob("w/models/shop/*/saved_model.pb"))
    job_set = plane.client.get(jobsets.path("shop-1", SPACE))
    assert job_set is not None
    assert jobsets.ended_of(job_set) == "Completed"
    assert [part["name"] for part in job_set["spec"]["replicatedJobs"]] == ["train"]
    assert [step for step, _ in losses(work / "w")] == list(range(1, STEPS + 1))
    wrote = hosts.logs()
    cycles = [text for pod, text in wrote.items() if pod.startswith("shop-1-") and "loop:" in text]
    assert len(cycles) == 2, "a second pod went on with the cycle"
    assert "made JobSet shop-1" in cycles[0]
    assert "going on with cycle 1" in cycles[1]
    # Where the second pod took long, the run is there by then.
    assert re.search("there is already JobSet shop-1|train: up to date", cycles[1]), cycles[1]
    assert "made JobSet" not in cycles[1]
