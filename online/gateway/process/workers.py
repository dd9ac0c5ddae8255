"""Several processes that share the ports of one gateway (SO_REUSEPORT), and the page of them all.

One process answers in one thread of Python, whatever the number of processors. The kernel gives
each new connection to one of them. One that ends by itself is started again.
"""

import contextlib
import logging
import multiprocessing
import os
import pathlib
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess

from prometheus_client import multiprocess
from prometheus_client.registry import CollectorRegistry

from podway.framework.error import PodwayError
from podway.online.error import OnlineError
from podway.online.gateway.process import serve
from podway.online.gateway.process.serve import Options, Running
from podway.online.service import stop as stops

_LOG = logging.getLogger(__name__)
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client knows that its numbers are to be seen by others."""
_PERIOD, _PAUSE = 0.2, 1.0
_SPARE = 10.0
"""Seconds beyond what a worker's config gives it for its end."""


@contextlib.contextmanager
def shared(host: str, port: int, flag: str) -> Iterator[int]:
    """Keeps a port for workers to share, for the time of a block, and does not listen itself."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            kept.bind((host, port))
        except OSError as error:
            raise OnlineError(
                f"cannot listen on {host}:{port} ({error.strerror or error}); give another {flag},"
                " or 0 for any free one"
            ) from None
        yield kept.getsockname()[1]


def run(
    options: Options,
    stop: threading.Event,
    told: Callable[[Running, CollectorRegistry], contextlib.AbstractContextManager[None]],
) -> None:
    """Serves with several processes until `stop` is set.

    Args:
      options: of the gateway; each worker gets them with the ports.
      stop: asks for the end.
      told: gets what runs and the metrics of all; what it returns is open for as long.

    Raises:
      OnlineError: a port is taken, or a worker cannot start.
    """
    with (
        tempfile.TemporaryDirectory(prefix="podway-") as folder,
        shared(options.host, options.port, "--port") as port,
        shared(options.host, options.grpc_port, "--grpc-port") as grpc_port,
    ):
        own = Options(**{**vars(options), "port": port, "grpc_port": grpc_port})
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, path=folder)
        team = _Team(own, folder)
        running = Running(port, grpc_port, lambda: _ready(own.host, port))
        try:
            team.start()
            while not _listens(own.host, port) and not stop.wait(_PERIOD):
                team.look()
            with told(running, registry):
                while not stop.wait(_PERIOD):
                    team.look()
        finally:
            team.end()


class _Team:
    """The workers."""

    def __init__(self, options: Options, folder: str):
        self._options, self._folder = options, folder
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[BaseProcess] = []
        self._again: list[float] = []

    def start(self) -> None:
        for _ in range(self._options.workers):
            self._workers.append(self._begin())

    def look(self) -> None:
        """Starts those again that have ended."""
        for at, worker in enumerate(self._workers):
            if worker.is_alive():
                continue
            now = time.monotonic()
            if worker.pid is not None:
                multiprocess.mark_process_dead(worker.pid, self._folder)
            if worker.exitcode == serve_failed:
                raise OnlineError("a worker cannot start; it has said why")
            self._again = [when for when in self._again if now - when < 60]
            if len(self._again) >= 5 * self._options.workers:
                raise OnlineError(
                    f"workers have ended {len(self._again)} times in a minute, the last one with"
                    f" status {worker.exitcode}; see what they have said"
                )
            self._again.append(now)
            _LOG.error("worker %d ended with status %s; started again", worker.pid, worker.exitcode)
            time.sleep(_PAUSE if len(self._again) > 1 else 0)
            self._workers[at] = self._begin()

    def end(self) -> None:
        gateway = self._options.online.gateway
        end = time.monotonic() + gateway.leave_seconds + 2 * gateway.drain_seconds + _SPARE
        for worker in self._workers:
            with contextlib.suppress(ValueError, OSError):
                worker.terminate()
        for worker in self._workers:
            worker.join(max(0.1, end - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()

    def _begin(self) -> BaseProcess:
        worker = self._context.Process(
            target=_work, args=(self._options, self._folder, os.getpid()), name="podway-gateway"
        )
        before = os.environ.get(FOLDER)
        os.environ[FOLDER] = self._folder  # read when the worker imports prometheus_client
        try:
            worker.start()
        finally:
            if before is None:
                del os.environ[FOLDER]
            else:
                os.environ[FOLDER] = before
        return worker


serve_failed = 3
"""The status of a worker that a user must mend."""


def _work(options: Options, folder: str, parent: int) -> None:
    """A worker's whole life; it ends with its parent."""
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("podway").setLevel(logging.INFO)
    assert pathlib.Path(folder).is_dir()
    with stops.asked() as stop:

        def watch() -> None:
            while not stop.wait(_PAUSE):
                if os.getppid() != parent:
                    stop.set()

        threading.Thread(target=watch, daemon=True, name="parent").start()
        try:
            serve.run(options, stop, CollectorRegistry(), lambda running: None)
        except PodwayError as error:
            _LOG.error("%s", error)
            raise SystemExit(serve_failed) from None


def _address(host: str) -> str:
    """Where this machine finds who listens there."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)


def _listens(host: str, port: int) -> bool:
    """Whether one of the workers does."""
    try:
        socket.create_connection((_address(host).strip("[]"), port), timeout=2).close()
    except OSError:
        return False
    return True


def _ready(host: str, port: int) -> str:
    """What one of the workers says."""
    try:
        with urllib.request.urlopen(
            f"http://{_address(host)}:{port}/readyz", timeout=2
        ) as response:
            response.read()
            return ""
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace").strip()
    except OSError as error:
        return f"no worker answers: {error}"
