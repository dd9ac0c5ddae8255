"""`podway up` with the services of the repository."""

import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from podway.framework import codec
from podway.launch.up import plan
from tests.launch import world
from tests.launch.test_cli import podway


@pytest.fixture(scope="module")
def config(shop, folder) -> pathlib.Path:
    path = folder / "up.json"
    path.write_text(json.dumps(codec.to_json(world.shop(folder))))
    return path


def test_a_dry_run_prints_commands_and_addresses(config, folder):
    done = podway("up", str(config), "--ports", "9100", "--dry-run", "--workdir", f"{folder}/w")
    assert done.returncode == 0, done.stderr
    file = f"{folder}/w/online/shop/up/experiment.json"
    assert f"serve {file} --host 127.0.0.1 --port 9100 --rest-port 9101" in done.stdout
    assert f"nearline {file} --host 127.0.0.1 --page-port 9102" in done.stdout
    assert f"lander {file} --host 127.0.0.1 --page-port 9103" in done.stdout
    assert f"gateway {file} --host 127.0.0.1 --port 9104 --grpc-port 9105" in done.stdout
    assert "http://127.0.0.1:9101/v1/models/shop" in done.stdout
    assert not pathlib.Path(file).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--without", "frontend"), "--without names 'frontend'; the services are model, "),
        (
            ("--without", "model", "nearline", "lander", "gateway", "monitor"),
            "--without names all services",
        ),
        (("--workers", "0"), "--workers is 0; give 1 or more"),
        (("--workdir", "gs://b/w"), "give a local folder"),
    ],
)
def test_what_cannot_be_is_one_sentence(config, options, message):
    done = podway("up", str(config), *options)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def first_port() -> int:
    """From which on all are free. Below those that the system gives to connections."""
    count = sum(map(len, plan.USUAL.values()))
    while True:
        first = random.randrange(10_000, 30_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


@pytest.mark.slow
def test_all_services_answer_survive_a_kill_and_end_in_order(config, folder):
    first = first_port()
    options = ["--ports", str(first), "--workdir", f"{folder}/w"]
    command = [sys.executable, "-m", "podway.launch.cli", "up", str(config), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    said: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: said.extend(process.stdout or ()))
    reader.start()

    def wait(condition, seconds: float = 240) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert process.poll() is None, "".join(said)
            assert time.monotonic() < end, "".join(said)
            time.sleep(0.1)

    def recommended() -> dict:
        body = json.dumps({"user": "u1", "k": 3}).encode()
        url = f"http://127.0.0.1:{first + 4}/v1/recommend"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    try:
        wait(lambda: any("shop is up" in line for line in said))
        assert recommended()["items"]
        starts = [line for line in said if "gateway starts, process" in line]
        os.kill(int(starts[-1].split()[-1]), signal.SIGKILL)
        wait(lambda: sum("gateway starts, process" in line for line in said) == 2)
        ready = f"http://127.0.0.1:{first + 6}/readyz"
        wait(lambda: answers(ready))
        assert recommended()
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
    finally:
        process.kill()
        process.wait()
        reader.join(20)
    ends = [line.split("|")[1].strip() for line in said if line.endswith("has ended\n")]
    order = ["monitor", "gateway", "lander", "nearline", "model"]
    assert ends == [f"{name} has ended" for name in order]
    assert "lander: ended; " in "".join(said)
    assert "nearline: ended; " in "".join(said)
    assert "gateway: ended; all requests were answered" in "".join(said)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
