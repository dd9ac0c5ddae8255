"""`podway launch kubernetes` on a real control plane: data, training, export, with a lost slice."""

import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

from podway.framework import exit_codes
from tests.cluster.nodes import Pool
from tests.launch.test_supervise import SHOP

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(3600)]

ROOT = pathlib.Path(__file__).parents[3]
DIGEST = "registry.example/podway/{}@sha256:" + 64 * "0"


@pytest.fixture(scope="module")
def work(hosts) -> pathlib.Path:
    """A volume with a config and its rows, which has the same path here and in the pods."""
    for number in range(3):
        hosts.add(Pool(f"slice-{number}", 2, "2x4"))
    hosts.add(Pool("cpu", 1))
    folder = hosts.claim("work", "podway")
    rows = [
        f"u{user},i{(user * 7 + time) % 40},{time}"
        for user in range(100)
        for time in range(5 + user % 9)
    ]
    (folder / "events.csv").write_text("\n".join(["user,item,time", *rows, ""]))
    (folder / "shop.py").write_text(SHOP.format(path=folder / "events.csv"))
    (folder / "target.py").write_text(
        "from podway.launch.targets.kubernetes.target import Claim, Images, Kubernetes, Resources\n"
        "def target():\n"
        f"    images = Images(*({DIGEST!r}.format(n) for n in ('train', 'data', 'export')))\n"
        f"    return Kubernetes(accelerator='v5e:2x4', claims=(Claim('work', {str(folder)!r}),),\n"
        "        images=images, resources=Resources('1', '1Gi'))\n"
    )
    return folder


def podway(plane, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "podway.launch.cli", *arguments],
        env=os.environ | {"KUBECONFIG": str(plane.folder / "kubeconfig")},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_launch_survives_the_loss_of_a_slice_and_ends_with_a_model(plane, hosts, work):
    launch = ["launch", str(work / "target.py"), str(work / "shop.py")]
    launch += ["--workdir", str(work / "w"), "--skip-preflight", "--yes"]
    launch += ["--mesh.fsdp", "1", "--trainer.steps", "400", "--trainer.log-every", "1"]
    process = podway(plane, *launch)

    def trains() -> bool:
        assert process.poll() is None, process.communicate()[0][-5000:]
        return any(
            path.read_text().count('"loss"') > 30
            for path in work.glob("w/runs/shop/*/metrics.jsonl")
        )

    plane.wait("training", trains, seconds=600)
    (placed,) = {
        pod["spec"]["nodeName"].rpartition("-")[0].removeprefix("gke-")
        for pod in plane.client.items("/api/v1/namespaces/podway/pods")
        if pod["spec"].get("nodeName", "").startswith("gke-slice")
    }
    assert len(hosts.take(placed)) == 2
    said, _ = process.communicate(timeout=900)
    assert process.returncode == exit_codes.COMPLETE, said[-5000:]
    assert list(work.glob("w/models/shop/*/saved_model.pb"))
    (sets,) = plane.client.items("/apis/jobset.x-k8s.io/v1alpha2/namespaces/podway/jobsets")
    assert sets["status"]["restarts"] == 1
    assert sets["status"].get("restartsCountTowardsMax", 0) == 0

    again, _ = podway(plane, *launch).communicate(timeout=120)
    assert "is complete" in again
    listed, _ = podway(plane, "jobs").communicate(timeout=120)
    assert re.search(rf"{sets['metadata']['name']} .*shop .*complete", listed), listed


def test_stop_saves_first(plane, hosts, work):
    launch = ["launch", str(work / "target.py"), str(work / "shop.py"), "--detach"]
    launch += ["--workdir", str(work / "w"), "--skip-preflight", "--yes", "--launch-name", "long"]
    launch += ["--mesh.fsdp", "1", "--trainer.steps", "100000", "--trainer.seed", "3"]
    said, _ = podway(plane, *launch, "--trainer.log-every", "1").communicate(timeout=120)
    assert "podway stop long" in said
    before = {path.parent for path in work.glob("w/runs/shop/*/manifest.json")}

    def metrics() -> list[pathlib.Path]:
        found = work.glob("w/runs/shop/*/metrics.jsonl")
        return [path for path in found if path.parent not in before]

    plane.wait("training", lambda: any('"loss"' in it.read_text() for it in metrics()), seconds=600)
    time.sleep(1)
    stopped, _ = podway(plane, "stop", "long").communicate(timeout=300)
    assert "long: stopped" in stopped
    (path,) = metrics()
    steps = [int(step) for step in re.findall(r'"step": (\d+)', path.read_text())]
    assert (path.parent / "checkpoints" / str(max(steps))).is_dir()
