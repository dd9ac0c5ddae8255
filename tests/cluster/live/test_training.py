"""A JobSet trains on hosts that are taken away, and ends as if nothing had happened."""

import json
import math
import os
import pathlib
import random
import time

import pytest

from podway.launch import cli
from tests.cluster.live import jobsets
from tests.cluster.nodes import Pool
from tests.launch.test_supervise import SHOP

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(3600)]

TOPOLOGY = "4x4"
STEPS = 120
CHECKPOINT_EVERY = 20


@pytest.fixture(scope="module")
def shop(hosts, tmp_path_factory) -> pathlib.Path:
    """A config of a small dataset."""
    folder = tmp_path_factory.mktemp("shop")
    rows = [
        f"u{user},i{(user * 7 + time) % 40},{time}"
        for user in range(100)
        for time in range(5 + user % 9)
    ]
    (folder / "events.csv").write_text("\n".join(["user,item,time", *rows, ""]))
    (folder / "shop.py").write_text(SHOP.format(path=folder / "events.csv"))
    return folder / "shop.py"


def training(shop: pathlib.Path, name: str, slices: int, hosts: int, **options: object) -> dict:
    """A JobSet whose workdir is a claim of its name."""
    words = ["train", str(shop), "--workdir", "/workdir", "--distributed", "--heartbeat", "5"]
    words += ["--trainer.log-every", "1", "--mesh.fsdp", "1"]
    for option, value in options.items():
        words += [f"--trainer.{option.replace('_', '-')}", str(value)]
    mounts = [{"name": "workdir", "mountPath": "/workdir"}]
    made = jobsets.make(name, slices, hosts, args=words, volumeMounts=mounts)
    claim = {"name": "workdir", "persistentVolumeClaim": {"claimName": name}}
    jobsets.pods(made)["volumes"] = [claim]
    return made


def records(workdir: pathlib.Path) -> list[dict]:
    found = list(workdir.glob("runs/shop/*/metrics.jsonl"))
    lines = found[0].read_text().split("\n")[:-1] if found else []
    return [json.loads(line) for line in lines]


def losses(workdir: pathlib.Path) -> list[tuple[int, float]]:
    return [(record["step"], record["loss"]) for record in records(workdir) if "loss" in record]


def sessions(workdir: pathlib.Path) -> list[int]:
    """The step after which each session began."""
    return [record["step"] for record in records(workdir) if "compile_seconds" in record]


def saved(workdir: pathlib.Path) -> int:
    """The last step of which there is a checkpoint."""
    found = workdir.glob("runs/shop/*/checkpoints/*")
    return max((int(path.name) for path in found if path.name.isdigit()), default=0)


class Runs:
    """Trains JobSets to their ends."""

    def __init__(self, plane, hosts, shop):
        self._plane, self._hosts, self._shop, self._pools = plane, hosts, shop, 0

    def add_pool(self, hosts: int) -> None:
        self._hosts.add(Pool(f"slice-{self._pools}", hosts, TOPOLOGY, chips=1))
        self._pools += 1

    def start(self, name: str, slices: int, hosts: int, **options: object) -> pathlib.Path:
        workdir = self._hosts.claim(name)
        cli.main(["data", str(self._shop), "--workdir", str(workdir)])
        self._plane.client.made(training(self._shop, name, slices, hosts, **options))
        return workdir

    def pods(self, name: str, count: int) -> list[dict]:
        return self._wait(f"{count} pods", jobsets.running(self._plane.client, name, count))

    def step(self, name: str, step: int) -> None:
        """Waits until a step is done; of the session that goes on now."""
        workdir = self._hosts.claim(name)
        self._wait(f"step {step}", lambda: any(at >= step for at, _ in losses(workdir)))

    def preempt(self, name: str, pods: int, hosts: int, warned: float = 0.0) -> str:
        """Takes the pool of a random pod away, in place of which there is another one soon."""
        victim = random.choice(self.pods(name, pods))
        pool = victim["spec"]["nodeName"].removeprefix("gke-").rpartition("-")[0]
        lost = self._hosts.take(pool, warned)
        assert len(lost) == hosts
        self.add_pool(hosts)
        return victim["metadata"]["name"]

    def finish(self, name: str) -> dict:
        """Waits for the end, and returns the JobSet's status."""
        client = self._plane.client
        end = self._wait("the end", lambda: jobsets.ended(client, name))
        assert end == "Completed", self._said()
        return jobsets.status(client, name)

    def further(self, name: str, step: int) -> None:
        """Waits until the session that goes on now has done a step."""
        workdir = self._hosts.claim(name)
        self._wait(f"step {step}", lambda: losses(workdir)[-1:] >= [(step, -math.inf)])

    def new_session(self, name: str, count: int) -> int:
        """Waits for a session; the step after which it began."""
        workdir = self._hosts.claim(name)
        self._wait(f"session {count}", lambda: len(sessions(workdir)) >= count)
        return sessions(workdir)[-1]

    def _wait(self, what, ready):
        try:
            return self._plane.wait(what, ready, seconds=600)
        except Exception as error:
            raise AssertionError(f"{error}\n{self._said()}") from error

    def _said(self) -> str:
        tails = [f"{pod}:\n{text[-1500:]}" for pod, text in self._hosts.logs().items()]
        return "\n".join([*tails[-6:], *self._hosts.problems[-1:]])


@pytest.fixture(scope="module")
def runs(plane, hosts, shop) -> Runs:
    return Runs(plane, hosts, shop)


def test_a_lost_host_changes_nothing(plane, hosts, runs):
    """Two slices of two hosts each, of which one host is taken away, and with it its slice."""
    for _ in range(3):
        runs.add_pool(2)
    straight = runs.start("straight", 2, 2)
    runs.finish("straight")
    assert [step for step, _ in losses(straight)] == list(range(1, STEPS + 1))
    workdir = runs.start("lost", 2, 2)
    runs.pods("lost", 4)
    runs.step("lost", 45)
    at = saved(workdir)
    runs.preempt("lost", 4, 2)
    status = runs.finish("lost")
    assert losses(workdir) == losses(straight)
    began = sessions(workdir)
    assert len(began) == 2
    assert began[1] >= at >= 40
    assert status["restarts"] == 1
    assert status.get("restartsCountTowardsMax", 0) == 0


def test_preemptions_at_random_moments_lose_no_saved_step(plane, hosts, runs):
    """Without a warning, and with the 15 seconds that a spot machine gets for its pods.

    The moments are random in steps, as a busy machine does none in what would be seconds: some
    before a session's first save, some after its third.
    """
    preemptions = int(os.environ.get("PODWAY_PREEMPTIONS", "20"))
    for _ in range(3):
        runs.add_pool(1)
    options = {"steps": 150 * preemptions, "checkpoint_every": 10, "evaluate_every": 1000}
    straight = runs.start("calm", 2, 1, **options)
    runs.finish("calm")
    workdir = runs.start("stormy", 2, 1, **options)
    found = []
    for number in range(preemptions):
        began = runs.new_session("stormy", number + 1)
        runs.further("stormy", began + random.randrange(1, 40))
        time.sleep(random.uniform(0, 0.5))
        warned = random.choice([0.0, 15.0])
        at, done = saved(workdir), losses(workdir)[-1][0]
        runs.preempt("stormy", 2, 1, warned)
        found.append((began, at, warned))
        moment = f"after step {done}, saved {at}, warned {warned:.0f} s"
        print(f"preemption {number + 1}: session from {began}, {moment}", flush=True)
    status = runs.finish("stormy")
    starts = sessions(workdir)[1:]
    print(f"sessions went on after {starts}; {len(losses(workdir))} losses", flush=True)
    assert losses(workdir) == losses(straight)
    assert all(start >= at for start, (_, at, _) in zip(starts, found, strict=True))
    assert status["restarts"] == preemptions
