"""Prometheus and Alertmanager, on private ports and folders; skipped by name where missing."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
PATIENCE = 120.0


def program(name: str) -> str:
    """Its path; without it a test is skipped, but fails where CI forgot it."""
    if (found := shutil.which(name)) is None:
        assert "CI" not in os.environ, f"no {name}: .ci/run installs {PACKAGES[name]}"
        pytest.skip(f"no {name}: apt-get install --no-install-recommends {PACKAGES[name]}")
    return found


def said(*command: str | os.PathLike[str]) -> tuple[int, str]:
    """A command's exit code, and all that it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def running(folder: pathlib.Path, *command: str, ready: str) -> Iterator[None]:
    """A program, from when the address `ready` answers until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        log_file = folder / "log"
        wait(lambda: process.poll() is not None or answers(ready), log_file.read_text)
        assert process.poll() is None, log_file.read_text()
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


@contextlib.contextmanager
def prometheus(folder: pathlib.Path, config: pathlib.Path, port: int) -> Iterator[str]:
    """Gives its address."""
    address = f"http://127.0.0.1:{port}"
    command = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(folder, *command, ready=f"{address}/-/ready"):
        yield address


@contextlib.contextmanager
def alertmanager(folder: pathlib.Path, config: pathlib.Path, port: int) -> Iterator[str]:
    """Gives its address."""
    address = f"http://127.0.0.1:{port}"
    command = [
        program("prometheus-alertmanager"),
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",  # or it opens a port for others of its kind
    ]
    with running(folder, *command, ready=f"{address}/-/ready"):
        yield address


def answers(address: str) -> bool:
    """Whether it answers with success."""
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def ask(address: str, path: str, **parameters: str) -> Any:
    """The data of an answer of Prometheus' API."""
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{address}/api/v1/{path}?{query}", timeout=20) as response:
        return json.load(response)["data"]


def wait(condition: Callable[[], Any], told: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What the condition gives, once it holds; fails with what is `told` if it does not in time."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, told()
        time.sleep(0.3)
    return found
