"""`podway rollout` by a route's weights on a real control plane: there, back, and after a kill."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from podway.export import layout
from podway.export.versions import models_config, promote, publish
from podway.online.rollout import store
from tests.cluster.live.test_serving import IMAGE, REST, ROOT, bind, named
from tests.cluster.nodes import Pool
from tests.launch.rollout.conftest import built
from tests.launch.rollout.test_controller import see
from tests.launch.targets import models

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(1200)]

ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/podway-serving/httproutes"
DEPLOYMENTS = "/apis/apps/v1/namespaces/podway-serving/deployments"
PLAN = """
    requests=40, shortest_seconds=2, longest_seconds=240, interval_seconds=0.5,
    client_seconds=1, score_margin=None, shadow=0.0, shares=(0.1, 0.5),
"""


@pytest.fixture(scope="module")
def workdir(plane, hosts, tmp_path_factory) -> pathlib.Path:
    """Two real versions in a volume; the first one serves, at the label stable."""
    hosts.add(Pool("cpu", 1))
    bind(plane)
    folder, made = hosts.claim("models"), tmp_path_factory.mktemp("built")
    given = {"version": "0123456789ab-01234567", "config": {}, "inputs": {}, "code": "c"}
    for number in (1, 2):
        place = publish.publish(
            built(made, "good"), name="m", workdir=folder, details=models.DETAILS, **given
        )
        assert place.name == str(number)
    promote.rollback("m", folder)
    models.label(folder, "m", 1, "stable")
    (folder / "target.py").write_text(
        "from podway.launch.targets.kubernetes.serving.config import *\n"
        "from podway.launch.targets.kubernetes.target import Claim\n"
        "def target():\n"
        f"    return Serving(server='podway', image={IMAGE!r}, provider='any', cpu='1',\n"
        f"        claims=(Claim('models', {str(folder)!r}),), gateway=Gateway('public'),\n"
        "        monitoring='prometheus-operator', drain_seconds=5,\n"
        "        scaling=Scaling(least=1, requests_per_second=100))\n"
    )
    (folder / "config.py").write_text(
        "import dataclasses\n"
        "from podway.configs import movielens_sasrec\n"
        "from podway.framework.config import Rollout\n"
        "def experiment():\n"
        f"    plan = Rollout({PLAN})\n"
        "    return dataclasses.replace(movielens_sasrec.experiment(), name='m', rollout=plan)\n"
    )
    return folder


class Command:
    """`podway rollout`, as one types it."""

    def __init__(self, plane, workdir: pathlib.Path, version: int):
        self._home = layout.models(workdir) / "m"
        files = [
            "--target-file",
            str(workdir / "target.py"),
            "--config",
            str(workdir / "config.py"),
        ]
        self.log = workdir / f"rollout-{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "podway.launch.cli", "rollout", "m", str(version)),
                    *("--workdir", str(workdir)),
                    *files,
                ],
                env=os.environ | {"KUBECONFIG": str(plane.folder / "kubeconfig")},
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def until(self, *phases: str, stage: int = -1, seconds: float = 300) -> str:
        """Name of the rollout, once it is in one of these phases, and at no earlier share."""
        end = time.monotonic() + seconds
        while True:
            now = store.read(self._home)
            if now is not None and now.phase in phases and now.stage >= stage:
                return now.rollout
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)

    def end(self, seconds: float = 300) -> tuple[int, str]:
        """Exit code, and what it said."""
        return self.process.wait(seconds), self.log.read_text()


@pytest.fixture
def weights(plane) -> Iterator[list[dict[str, int]]]:
    """Weights of the route as the API server has had them, each once for each change."""
    import threading

    found: list[dict[str, int]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            for route in plane.client.items(ROUTES):
                last = route["spec"]["rules"][-1]["backendRefs"]
                now = {each["name"]: each["weight"] for each in last}
                if not found or found[-1] != now:
                    found.append(now)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield found
    over.set()
    thread.join()


def deployed(plane) -> dict[str, int]:
    items = plane.client.items(DEPLOYMENTS)
    return {
        each["metadata"]["name"]: int(each["metadata"]["labels"]["podway.dev/version"])
        for each in items
    }


def answering(wanted: int, seconds: float = 90) -> None:
    """A server in a pod says that it answers by a version."""
    end = time.monotonic() + seconds
    found = None
    while found != wanted:
        assert time.monotonic() < end, f"version {found} answers, and {wanted} should"
        try:
            with urllib.request.urlopen(f"{REST}/v1/models/m/metadata", timeout=5) as answer:
                found = int(json.loads(answer.read())["model_spec"]["version"])
        except OSError:
            time.sleep(0.2)


def shares(weights) -> list[int]:
    """Percents of the canary, each once for each change."""
    found = [each.get("m-canary", 0) for each in weights]
    return [each for at, each in enumerate(found) if at == 0 or each != found[at - 1]]


def test_what_is_worse_goes_back_by_the_route_and_that_is_verified(plane, workdir, weights):
    command = Command(plane, workdir, 2)
    see(workdir, command.until("canary"), "UNAVAILABLE")
    code, said = command.end()
    assert code == 1, said
    assert "went back: 100.00% of its 50 requests failed" in said
    assert "m-stable serves version 1: 1 of 1 pods serve, and routes lead there" in said
    now = store.read(layout.models(workdir) / "m")
    assert now is not None
    assert now.phase == "returned"
    plane.wait("the canary's end", lambda: named(plane, "deployments") == ["m-stable"])
    assert deployed(plane) == {"m-stable": 1}
    assert shares(weights) == [10, 0], "nobody had made the route before"
    assert all(sum(each.values()) == 100 for each in weights)
    answering(1)


def test_a_killed_command_is_followed_by_the_next_which_brings_it_to_all(plane, workdir, weights):
    first = Command(plane, workdir, 2)
    see(workdir, first.until("canary", stage=0))
    see(workdir, first.until("canary", stage=1), requests=10)
    first.process.send_signal(signal.SIGKILL)
    assert first.process.wait() == -signal.SIGKILL
    assert shares(weights)[-1] == 50
    second = Command(plane, workdir, 2)
    see(workdir, second.until("canary", stage=1))
    code, said = second.end()
    assert code == 0, said
    assert "m-stable serves version 2: 1 of 1 pods serve, and routes lead there" in said
    assert shares(weights) == [0, 10, 50, 0]
    assert deployed(plane) == {"m-stable": 2}
    assert models_config.served(layout.server_config(workdir), "m").labels == {"stable": 2}
    answering(2)
