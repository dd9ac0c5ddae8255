"""A launch loses one of two slices, goes on with the other, and with both when it is back."""

import pathlib
import re
import time

import pytest

from podway.framework import exit_codes
from tests.cluster.live import launches
from tests.cluster.live.launches import podway
from tests.cluster.live.test_training import losses, sessions
from tests.cluster.nodes import Pool

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(3600)]

PATIENCE = 10.0
STEPS = 100_000


@pytest.fixture(scope="module")
def work(hosts) -> pathlib.Path:
    return launches.workplace(hosts, slices=2)


def replicas(plane) -> list[int]:
    """Slices of the launches that are there."""
    path = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/podway/jobsets"
    return [
        part["replicas"]
        for each in plane.client.items(f"{path}?labelSelector=podway.dev/launch")
        for part in each["spec"]["replicatedJobs"]
        if part["name"] == "train"
    ]


def test_it_goes_on_with_fewer_slices_and_with_all(plane, hosts, work):
    options = ["--target.slices", "2", "--elastic", "--elastic-after", str(PATIENCE)]
    options += ["--trainer.steps", str(STEPS), "--trainer.checkpoint-every", "10"]
    process = podway(plane, *launches.command(work, *options, "--launch-name", "shop"))
    workdir = work / "w"

    def began(count: int):
        """Whether so many sessions have begun, and the last one has done a step."""

        def ask() -> bool:
            assert process.poll() is None, process.communicate()[0][-5000:]
            found, done = sessions(workdir), losses(workdir)
            return len(found) >= count and bool(done) and done[-1][0] > found[-1]

        return ask

    plane.wait("training on two slices", began(1), seconds=600)
    plane.wait("a save", lambda: losses(workdir)[-1][0] > 15, seconds=300)
    start = time.monotonic()
    lost = hosts.take("slice-0") or hosts.take("slice-1")
    assert len(lost) == 2
    plane.wait("training on one slice", lambda: replicas(plane) == [1] and began(2)(), seconds=600)
    shrunk = time.monotonic() - start
    assert replicas(plane) == [1]
    beyond = sessions(workdir)[-1] + 15
    plane.wait("some steps", lambda: losses(workdir)[-1][0] > beyond, seconds=300)

    start = time.monotonic()
    hosts.add(Pool("slice-9", 2, "2x4"))
    plane.wait("training on two again", lambda: replicas(plane) == [2] and began(3)(), seconds=600)
    grown = time.monotonic() - start
    stopped, _ = podway(plane, "stop", "shop").communicate(timeout=300)
    assert "shop: stopped; the same `podway launch` goes on from" in stopped
    said, _ = process.communicate(timeout=120)
    print(said)
    print(f"from the loss to the next step {shrunk:.1f} s, of which {PATIENCE:.0f} s of patience;")
    print(f"from the machines' return to the next step on all {grown:.1f} s")
    assert process.returncode == exit_codes.PREEMPTED, said[-5000:]
    for line in (
        r"  machines for 1 of 2 slices since .*: it saves, and goes on with 1",
        r"  machines for 1 more slices are asked for",
        r"  machines for 1 more slices: it saves, and goes on with 2 of 2",
        r"  goodput \d+\.\d % of .* in [3-9] sessions",
    ):
        assert re.search(f"(?m)^{line}", said), said
    steps = [step for step, _ in losses(workdir)]
    assert steps == list(range(1, len(steps) + 1)), "every batch once"
    path = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/podway/jobsets"
    plane.wait("nothing is left", lambda: not plane.client.items(path))
