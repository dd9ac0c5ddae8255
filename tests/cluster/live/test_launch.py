"""`podway launch kubernetes` on a real control plane: data, training, export, with a lost slice."""

import pathlib
import re
import time

import pytest

from podway.framework import exit_codes
from tests.cluster.live import jobsets, launches
from tests.cluster.live.launches import podway

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def work(hosts) -> pathlib.Path:
    return launches.workplace(hosts, slices=3)


def test_a_launch_survives_the_loss_of_a_slice_and_ends_with_a_model(plane, hosts, work):
    launch = launches.command(work, "--trainer.steps", "400")
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
    print(said)
    assert process.returncode == exit_codes.COMPLETE, said[-5000:]
    assert list(work.glob("w/models/shop/*/saved_model.pb"))
    (job_set,) = plane.client.items("/apis/jobset.x-k8s.io/v1alpha2/namespaces/podway/jobsets")
    assert job_set["status"]["restarts"] == 1
    assert job_set["status"].get("restartsCountTowardsMax", 0) == 0
    name = job_set["metadata"]["name"]
    # Each look says what it finds, so that what lasts less than the time between two may be missed,
    # and a status may come before or after the event that led to it.
    pod = rf"{name}-train-0-[01]-\S+"
    for lines in (
        [
            "data: building ",
            "train: [0-9].* kB: /",
            "export: [0-9].* kB: /",
            f"launch {name}: complete, 1 restart",
            r"  goodput \d+\.\d % of .* in 2 sessions",
        ],
        [
            f"launch {name}: running, train: 2 of 2 pods run",
            f"launch {name}: running, train: 2 of 2 pods run, 1 restart",
            f"launch {name}: complete, 1 restart",
        ],
        [
            f"launch {name}: running, train: 2 of 2 pods run",
            f"  {pod} was taken away with its machine",
            f"launch {name}: running, train: 2 of 2 pods run, 1 restart",
        ],
        [
            f"launch {name}: running, train: 2 of 2 pods run",
            "  all processes start again from the last save, which uses up no restart",
            "train: [0-9].* kB: /",
        ],
    ):
        in_order = ".*\n".join(f"(?m:^{each})" for each in lines)
        assert re.search(f"(?s){in_order}", said), f"{lines}\n{said}"

    again, _ = podway(plane, *launch).communicate(timeout=120)
    assert f"{name} is complete" in again
    listed, _ = podway(plane, "jobs").communicate(timeout=120)
    assert re.search(rf"{name} .*shop .*complete .*1 +\d+\.\d %", listed), listed
    tail, _ = podway(plane, "logs", name, "--tail", "2").communicate(timeout=120)
    assert len(tail.splitlines()) == 2
    assert tail.splitlines()[-1] in said


def test_stop_saves_first(plane, hosts, work):
    before = {path.parent for path in work.glob("w/runs/shop/*/manifest.json")}
    options = ("--launch-name", "long", "--trainer.steps", "100000", "--trainer.seed", "3")
    launch = launches.command(work, *options)
    said, _ = podway(plane, *launch, "--detach").communicate(timeout=120)
    assert "podway stop long" in said

    def metrics() -> list[pathlib.Path]:
        found = work.glob("w/runs/shop/*/metrics.jsonl")
        return [path for path in found if path.parent not in before]

    def steps() -> list[int]:
        return [int(at) for it in metrics() for at in re.findall(r'"step": (\d+)', it.read_text())]

    plane.wait("training", lambda: any('"loss"' in it.read_text() for it in metrics()), seconds=600)
    follows = podway(plane, *launch)
    time.sleep(20)
    stopped, _ = podway(plane, "stop", "long").communicate(timeout=300)
    (path,) = metrics()
    last = max(steps())
    assert (path.parent / "checkpoints" / str(last)).is_dir()
    assert f"long: stopped; the same `podway launch` goes on from step {last:,}, which" in stopped
    followed, _ = follows.communicate(timeout=60)
    assert "long is there already" in followed
    assert followed.endswith("podway: long was stopped; the same command goes on\n"), followed
    assert follows.returncode == exit_codes.PREEMPTED
    assert plane.client.get(f"{jobsets.PATH.replace('default', 'podway')}/long") is None

    again, _ = podway(plane, *launch, "--detach").communicate(timeout=120)
    assert "made JobSet long" in again
    plane.wait("a step beyond the save", lambda: max(steps()) > last + 5, seconds=600)
    assert path.read_text().count("compile_seconds") == 2
    podway(plane, "stop", "long").communicate(timeout=300)
