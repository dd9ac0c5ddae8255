"""No client makes another wait for more than a second, and SIGTERM always ends the server."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import contextlib
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests.export.server.attacks import ATTACKS, Beside, Target
from tests.export.server.conftest import ROOT, Site, predict_request
from tests.export.server.net.keys import Trust, identity, ssl_config

SECOND = 1.0
TRIES = 3
"""A busy machine makes everybody wait; an attack does so each time."""
MEMORY = 1500.0
"""MiB that an attack may add: the largest requests of two APIs, as bytes and as values."""
KINDS = [
    "plain",
    *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("tls", "workers", "socket")),
]

LONG = {
    "300 MiB of blanks in gzip",
    "as many keys as there may be",
    "ten million dimensions",
    "ten million inputs",
    "twenty million unknown fields",
    "60 MiB of zeros in gzip",
    "200 MiB of zeros in gzip",
}
"""Attacks that take seconds to send; the others have one of each kind."""


@contextlib.contextmanager
def attacked(site: Site, kind: str, *flags: str) -> Iterator[Target]:
    """A server of this kind, in a process that may have few files open, at first."""
    trust, port = None, "--port=any"
    if kind == "tls":
        authority = identity("authority")
        config = site.root / "ssl.config"
        config.write_text(ssl_config(identity("server", authority)))
        trust = Trust(authority)
        flags = (*flags, f"--ssl_config_file={config}")
    if kind == "workers":
        flags = (*flags, "--workers=2")
    if kind == "socket":
        port = "--port=0"
        flags = (*flags, f"--grpc_socket_path={site.root}/grpc")
    command = [sys.executable, "-m", "podway.export.server", f"--model_config_file={site.config}"]
    log = site.root / "log"
    few = lambda: resource.setrlimit(  # noqa: E731
        resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, port, "--rest_api_port=any", *flags],
            cwd=ROOT,
            stderr=file,
            preexec_fn=few,
        )
    try:
        pattern = r"serving on gRPC (\S+), REST \S+:(\d+)"
        while not (match := re.search(pattern, log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        address = match[1].replace("127.0.0.1", "localhost")
        yield Target(process, address, int(match[2]), log, trust)
    finally:
        process.kill()
        process.wait()


def slowness() -> float:
    """How much longer all takes because other programs have the processors, 1 or more."""
    start, used = time.perf_counter(), time.process_time()
    while time.process_time() - used < 0.1:
        pass
    return max(1.0, (time.perf_counter() - start) / 0.1)


@pytest.fixture(scope="module", params=KINDS)
def target(request, tmp_path_factory, library) -> Iterator[Target]:
    root = tmp_path_factory.mktemp("attacked")
    (root / "m").mkdir()
    site = Site(root, library)
    site.put(1, predict_request(history=[["a"]]))
    site.ask_for_versions(1)
    with attacked(site, request.param) as target:
        yield target
        target.process.send_signal(signal.SIGTERM)
        assert target.process.wait(timeout=60) == 0, target.log.read_text()
        assert "Traceback" not in target.log.read_text()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in ATTACKS],
)
def test_nobody_else_waits(target, name):
    kind, expected = ATTACKS[name]
    attack, before = kind.prepare(), target.memory()
    for _ in range(TRIES):
        with Beside(target) as other:
            time.sleep(0.1)
            answers = attack(target)
            time.sleep(0.1)
        assert not other.errors
        if other.worst < (allowed := SECOND * slowness()):
            break
    print(f"{name}: {set(answers)}, others waited {other.worst:.2f} s at most")
    assert other.worst < allowed
    assert set(answers) <= expected
    assert target.memory() - before < MEMORY


@pytest.mark.slow
def test_idle_connections_hurt_nobody(target):
    """As many as this machine lets a process open, up to 10,000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(10_000, (hard - 1024) // 2 - 16)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(count):
                address = ("127.0.0.1", target.rest_port)
                stack.enter_context(socket.create_connection(address, timeout=20))
            with Beside(target) as other:
                time.sleep(2)
        assert not other.errors
        print(f"{count} idle connections: others waited {other.worst:.2f} s at most")
        assert other.worst < SECOND * slowness()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "workers"])
def test_sigterm_ends_a_server_whatever_it_runs(tmp_path, library, kind):
    (tmp_path / "m").mkdir()
    site = Site(tmp_path, library)
    site.put(1)
    site.ask_for_versions(1)
    endless = predict_request(signature="slow", turns=1_000_000)
    with attacked(site, kind, "--drain_seconds=1") as target, target.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        call = stub.Predict.future(endless)
        time.sleep(1)
        assert not call.done()
        start = time.monotonic()
        target.process.send_signal(signal.SIGTERM)
        assert target.process.wait(timeout=60) == 1
        assert time.monotonic() - start < 10 + 3 * slowness()
        log = target.log.read_text()
        assert "were still in progress after 1 s (--drain_seconds): they are given up" in log
