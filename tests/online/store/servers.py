"""Servers of stores, on private ports and folders; skipped by name where missing."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest

from tests.online.emulators import programs

PATIENCE = 60.0
BIGTABLE = "/usr/lib/google-cloud-sdk/platform/bigtable-emulator/cbtemulator"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def missing(what: str, how: str, *, in_ci: bool = True) -> None:
    """Skips the test, but fails where CI forgot what it needs."""
    if in_ci and "CI" in os.environ:
        pytest.fail(f"no {what}: {how}")
    pytest.skip(f"no {what}: {how}")


def wait_for(port: int, process: subprocess.Popen, log: pathlib.Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


class Server:
    """A program that listens on a port; may be killed and started again there."""

    def __init__(self, folder: pathlib.Path, command: Callable[[int], list[str]]):
        self.port = free_port()
        self._command, self._log = command(self.port), folder / "log"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        wait_for(self.port, self._process, self._log)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        states = pathlib.Path(f"/proc/{self._process.pid}/stat")
        while states.exists() and states.read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def running(name: str, command: Callable[[int, str], list[str]]) -> Iterator[Server]:
    folder = tempfile.mkdtemp(prefix=f"podway-{name}-")
    server = Server(pathlib.Path(folder), lambda port: command(port, folder))
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def redis() -> Iterator[Server]:
    """It keeps what it was told, also when it is killed."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        missing("redis-server", "apt-get install --no-install-recommends redis-server")
    with running(
        "redis",
        lambda port, folder: [
            *(str(program), "--port", str(port), "--bind", "127.0.0.1", "--dir", folder),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
        ],
    ) as server:
        yield server


@contextlib.contextmanager
def bigtable() -> Iterator[Server]:
    """The emulator, whose tables are gone when it ends."""
    if os.environ.get(programs.WITHOUT):
        missing("cbtemulator", "its Go modules could not be fetched", in_ci=False)
    program = str(programs.place("emulator"))
    if not pathlib.Path(program).exists():
        program = shutil.which("cbtemulator") or BIGTABLE
    if not pathlib.Path(program).exists():
        missing("cbtemulator", "`make emulators` builds it")
    with running(
        "bigtable", lambda port, _: [program, "-host", "127.0.0.1", "-port", str(port)]
    ) as it:
        yield it
