"""A server that is struck: what it served before, it serves on."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import concurrent.futures
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import grpc
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests.export.server.conftest import ROOT, Site, library, predict_request
from tests.survival import faults

__all__ = ["library"]
pytestmark = pytest.mark.slow


class Served:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen, port: int):
        self.process = process
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask(self) -> str:
        """The version that answers."""
        answer = self._stub.Predict(predict_request(history=[["a"]]), timeout=60)
        return answer.outputs["item"].string_val[1].decode()


@contextlib.contextmanager
def served(site: Site, *wrapper: str, **environment: str) -> Iterator[Served]:
    command = [*wrapper, sys.executable, "-m", "podway.export.server", "--port=any"]
    command += [f"--model_config_file={site.config}", "--file_system_poll_wait_seconds=1"]
    command += ["--model_config_file_poll_wait_seconds=1", "--max_num_load_retries=0"]
    log = site.root / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stderr=file,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **environment},
        )
    try:
        while not (said := re.search(r"serving on gRPC 127.0.0.1:(\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield Served(process, int(said[1]))
    finally:
        process.kill()
        process.wait()


def laid_out(folder: pathlib.Path, library: dict[int, pathlib.Path]) -> Site:
    """Version 1 is asked for."""
    (folder / "m").mkdir()
    made = Site(folder, library)
    made.put(1)
    made.ask_for_versions(1)
    return made


@pytest.fixture(scope="module")
def site(tmp_path_factory, library) -> Site:
    return laid_out(tmp_path_factory.mktemp("site"), library)


@pytest.fixture(scope="module")
def server(site) -> Iterator[Served]:
    """One for the faults that it outlives: with a clock that can be set, and no right but a
    user's."""
    if reason := faults.ClockBack.missing() or faults.Denied.missing():
        pytest.skip(f"it needs {reason}")
    environment = faults.clock_of(site.root / "clock")
    with served(site, *faults.Denied.wrapper, **environment) as started:
        assert started.ask() == "v1"
        yield started


def test_killed_and_started_again_it_serves_what_it_served(tmp_path, library):
    site = laid_out(tmp_path, library)
    with served(site) as first:
        assert first.ask() == "v1"
        site.put(2)  # which nobody asks for
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    with served(site) as again:
        assert again.ask() == "v1"


def test_stopped_for_a_while_it_answers_then(server):
    with concurrent.futures.ThreadPoolExecutor() as others:
        before = server.ask()
        server.process.send_signal(signal.SIGSTOP)
        waiting = [others.submit(server.ask) for _ in range(8)]
        assert not concurrent.futures.wait(waiting, 3.0).done
        server.process.send_signal(signal.SIGCONT)
        assert [each.result(60) for each in waiting] == [before] * 8


def test_a_clock_that_goes_back_changes_nothing(site, server):
    before = server.ask()
    faults.set_back(site.root / "clock")
    assert [server.ask() for _ in range(20)] == [before] * 20
    site.put(2)
    site.ask_for_versions(2)
    assert becomes(server, "v2"), "it still looks for new versions, every second"


def test_folders_that_may_not_be_read_any_more_cost_no_answer(site, server):
    before = server.ask()
    site.put(3)
    site.ask_for_versions(3)
    for path in (site.root / "m" / "3", site.root / "m", site.config):
        path.chmod(0o000)
    until = time.monotonic() + 4.0  # several looks at what there is
    while time.monotonic() < until:
        assert server.ask() in (before, "v3")
    assert server.process.poll() is None
    for path in (site.config, site.root / "m", site.root / "m" / "3"):
        path.chmod(0o755)
    assert becomes(server, "v3")


def becomes(server: Served, version: str, seconds: float = 60.0) -> bool:
    """Whether a version comes to answer."""
    until = time.monotonic() + seconds
    while server.ask() != version:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
