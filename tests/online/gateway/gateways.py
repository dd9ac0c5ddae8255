"""Gateways in this process, model servers as processes, and load on them."""

import asyncio
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import aiohttp
from prometheus_client.registry import CollectorRegistry

from podway.framework.config.online import Online
from podway.online.gateway import lists
from podway.online.gateway.process import serve
from podway.online.store import history as histories
from podway.online.store import open as stores
from podway.online.store.store import HISTORY, ITEM, Store

ROOT = pathlib.Path(__file__).parents[3]
NAME = "m"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def process(*command: str) -> Iterator[subprocess.Popen]:
    """A process, killed at the end of the block if it has not ended."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    started = subprocess.Popen([sys.executable, *command], env=environment, cwd=ROOT)
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.send_signal(signal.SIGKILL)
        started.wait()


@contextlib.contextmanager
def backend(port: int, seconds: float = 0.0) -> Iterator[subprocess.Popen]:
    """A model server that listens."""
    with process("-m", "tests.online.gateway.backend", str(port), str(seconds)) as started:
        wait_for(lambda: listens(port))
        yield started


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def store_of(online: Online, workdir: pathlib.Path) -> Store:
    return stores.open_store(online.store, workdir, NAME)


def fill(store: Store, users: Mapping[str, list[str]], **named: Any) -> None:
    """Histories, attributes of i0 to i49, and lists by name."""
    store.write(
        HISTORY,
        {
            user: histories.pack(histories.of(items, [10**6 * at for at in range(len(items))]))
            for user, items in users.items()
        },
    )
    store.write(
        ITEM,
        {
            f"i{n}": json.dumps({"title": f"Title {n}", "kind": f"k{n % 5}"}).encode()
            for n in range(50)
        },
    )
    lists.write(store, {name.replace("__", "/"): value for name, value in named.items()})


@dataclasses.dataclass
class Client:
    """A gateway's callers."""

    running: serve.Running
    registry: CollectorRegistry
    stop: threading.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.running.port}"

    def ask(self, user: str = "", headers: Mapping[str, str] | None = None, **fields: Any) -> Any:
        """The answer's JSON."""
        status, answer, _ = self.post({"user": user, **fields}, headers)
        assert status == 200, answer
        return answer

    def post(self, body: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any, Any]:
        """Status, JSON and headers."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.open(
            urllib.request.Request(f"{self.url}/v1/recommend", data, dict(headers or {}))
        )

    def get(self, query: str = "", path: str = "/v1/recommend") -> tuple[int, Any, Any]:
        return self.open(urllib.request.Request(f"{self.url}{path}{query and '?'}{query}"))

    def open(self, request: urllib.request.Request) -> tuple[int, Any, Any]:
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                status, text, headers = response.status, response.read(), response.headers
        except urllib.error.HTTPError as error:
            status, text, headers = error.code, error.read(), error.headers
        try:
            return status, json.loads(text), headers
        except ValueError:
            return status, text.decode(), headers

    def counted(self, name: str, **labels: str) -> float:
        """A metric's value, 0 where it was never counted."""
        return self.registry.get_sample_value(f"podway_gateway_{name}", labels) or 0.0


@contextlib.contextmanager
def running(online: Online, workdir: pathlib.Path, name: str = NAME) -> Iterator[Client]:
    """A gateway, stopped and waited for at the end."""
    stop, registry = threading.Event(), CollectorRegistry()
    told: list[serve.Running] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            serve.run(serve.Options(online, name, str(workdir)), stop, registry, told.append)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: told or failed)
        assert not failed, failed
        yield Client(told[0], registry, stop)
    finally:
        stop.set()
        thread.join(60)
    assert not failed, failed
    assert not thread.is_alive()


@dataclasses.dataclass
class Load:
    """What callers have seen.

    Attributes:
      statuses: how often each.
      sources: how often each, since the last `turn`.
      seconds: of each request, from when it was to be sent.
    """

    statuses: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    sources: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    seconds: list[float] = dataclasses.field(default_factory=list)
    empty: int = 0

    def turn(self) -> collections.Counter:
        found, self.sources = self.sources, collections.Counter()
        return found


@contextlib.contextmanager
def load(client: Client, users: list[str], rate: float = 100.0, **fields: Any) -> Iterator[Load]:
    """Requests at a rate, whatever becomes of those before, for the time of a block."""
    seen, ended = Load(), threading.Event()

    async def one(session: aiohttp.ClientSession, user: str, due: float) -> None:
        try:
            async with session.post(
                f"{client.url}/v1/recommend", json={"user": user, **fields}
            ) as response:
                answer = await response.json()
                seen.statuses[response.status] += 1
                seen.sources[answer.get("source", "error")] += 1
                seen.empty += not answer.get("items")
        except Exception as error:
            seen.statuses[type(error).__name__] += 1
        seen.seconds.append(time.monotonic() - due)

    async def run() -> None:
        timeout = aiohttp.ClientTimeout(30)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            tasks, due, number = set(), time.monotonic(), 0
            while not ended.is_set():
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                task = asyncio.create_task(one(session, users[number % len(users)], due))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                due, number = due + 1 / rate, number + 1
            await asyncio.gather(*tasks)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join(60)
    assert not thread.is_alive()
