"""A gateway that is struck: callers are answered, at the latest once it goes on."""

import concurrent.futures
import contextlib
import pathlib
import signal
import threading
from collections.abc import Iterator

import pytest
from prometheus_client.registry import CollectorRegistry

from podway.online.gateway.process.serve import Running
from tests.online.gateway.gateways import Client, backend, free_port, process, wait_for
from tests.survival import faults

pytestmark = pytest.mark.slow
CONFIG = """
import dataclasses
from podway.configs import movielens_sasrec
from podway.framework.config.online import Budget, Gateway, Online

def experiment():
    gateway = Gateway(server="127.0.0.1:{port}", model="m", cold="model", cache_seconds=0.0,
                      budget=Budget(seconds=3.0, retrieve=0.7, store=0.1))
    return dataclasses.replace(movielens_sasrec.experiment(), online=Online(gateway=gateway))
"""


@contextlib.contextmanager
def gateway(folder: pathlib.Path, config: pathlib.Path, port: int) -> Iterator:
    """The command, and a caller, once it is ready."""
    command = ("-m", "podway.launch.cli", "gateway", str(config), "--workdir", str(folder))
    ports = ("--port", str(port), "--grpc-port", str(free_port()), "--page-port", str(free_port()))
    with process(*command, *ports) as started:
        client = Client(Running(port, 0, lambda: ""), CollectorRegistry(), threading.Event())

        def ready() -> bool:
            assert started.poll() is None
            with contextlib.suppress(OSError):
                return client.get("", "/readyz")[0] == 200
            return False

        wait_for(ready, 120)
        yield started, client


def ask(client: Client, at: int) -> str:
    """Where the items come from that a user is given."""
    answer = client.ask(f"u{at}", items=["i1"])
    assert answer["items"]
    return answer["source"]


def test_stopped_it_answers_then_and_killed_it_answers_when_it_is_started_again(tmp_path):
    server, own = free_port(), free_port()
    config = tmp_path / "mine.py"
    config.write_text(CONFIG.format(port=server))

    with backend(server), concurrent.futures.ThreadPoolExecutor() as others:
        with gateway(tmp_path, config, own) as (started, client):
            assert ask(client, 0) == "model"
            started.send_signal(signal.SIGSTOP)
            waiting = [others.submit(ask, client, at) for at in range(8)]
            assert not concurrent.futures.wait(waiting, 2.0).done
            started.send_signal(signal.SIGCONT)
            assert {each.result(60) for each in waiting} <= {"model", "last"}
            assert ask(client, 1) in ("model", "last")
            started.send_signal(signal.SIGKILL)
            started.wait()
        with gateway(tmp_path, config, own) as (_, client):
            assert ask(client, 0) == "model"


def test_a_clock_that_goes_back_costs_no_answer(tmp_path, monkeypatch):
    if reason := faults.ClockBack.missing():
        pytest.skip(f"it needs {reason}")
    server, clock = free_port(), tmp_path / "clock"
    config = tmp_path / "mine.py"
    config.write_text(CONFIG.format(port=server))
    with backend(server):
        for name, value in faults.clock_of(clock).items():
            monkeypatch.setenv(name, value)
        with gateway(tmp_path, config, free_port()) as (_, client):
            assert ask(client, 0) == "model"
            faults.set_back(clock)
            assert {ask(client, at) for at in range(20)} == {"model"}
