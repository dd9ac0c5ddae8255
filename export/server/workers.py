"""--workers: several processes that serve the same models on the same ports.

One process answers in one thread of Python, whatever the number of processors. Several share a
port by SO_REUSEPORT: the kernel gives each new connection to one of them. Each has the models in
memory, its own queues, and follows the files by itself (export/server/siblings.py says what they
tell each other). The supervisor starts them, and stops all when one ends: whoever restarts a server
that is one process restarts this one as well.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator

from podway.export.server import logs
from podway.export.server.error import ServerError
from podway.export.server.net import ports
from podway.export.server.options import ServerOptions

log = logging.getLogger(__name__)

_PATIENCE = 15.0
"""Seconds beyond the drain that workers have to end: more than they take to give up."""

_PARALLELISM = (
    "tensorflow_session_parallelism",
    "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism",
)


def main(options: ServerOptions) -> None:
    """Serves until SIGINT or SIGTERM, then answers what is in flight and returns.

    Raises:
      ServerError: a file cannot be used, a port is taken, or a worker has ended by itself.
    """
    logs.start()
    asyncio.run(_supervise(options))


async def _supervise(options: ServerOptions) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="podway-"))
        shared = ports.shared("gRPC", "--port", options.host, options.port)
        port = stack.enter_context(shared)
        shared = ports.shared("REST", "--rest_api_port", options.host, options.rest_api_port)
        rest_api_port = stack.enter_context(shared)
        own = _own_options(options, port, rest_api_port)
        team = [
            await stack.enter_async_context(_worker(own, folder, number, options.workers))
            for number in range(options.workers)
        ]
        stopped = asyncio.create_task(stop.wait())
        serving = asyncio.gather(*map(_serving, range(len(team)), team))
        await asyncio.wait([stopped, serving], return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            log.info("serving on %s, by %d processes", serving.result()[0], len(team))
            ends = [asyncio.create_task(worker.wait()) for worker in team]
            await asyncio.wait([stopped, *ends], return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                number = next(number for number, end in enumerate(ends) if end.done())
                raise _ended(number, await ends[number])
        serving.cancel()
        log.info("stopping: answering what is in flight")
    if cut := [number for number, worker in enumerate(team) if worker.returncode == 1]:
        raise ServerError(
            f"requests were still in progress after {options.drain_seconds:g} s (--drain_seconds):"
            f" workers {cut} have given them up"
        )
    log.info("stopped")


@contextlib.asynccontextmanager
async def _worker(
    options: ServerOptions, folder: str, number: int, workers: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker, told to stop at the end of the block, if not before, and waited for."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "podway.export.server.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the supervisor
    )
    assert process.stdin is not None
    seat = {"folder": folder, "number": number, "workers": workers}
    given = {"options": dataclasses.asdict(options), "seat": seat}
    process.stdin.write(json.dumps(given).encode() + b"\n")
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), options.drain_seconds + _PATIENCE)
        except TimeoutError:
            log.error("worker %d does not stop: killed", number)
            process.kill()


async def _serving(number: int, worker: asyncio.subprocess.Process) -> str:
    """The addresses of a worker, once it serves. Raises ServerError."""
    assert worker.stdout is not None
    line = await worker.stdout.readline()
    if not line:
        raise _ended(number, await worker.wait())
    said = json.loads(line)
    if "error" in said:
        raise ServerError(said["error"])
    return said["serving"]


def _ended(number: int, status: int) -> ServerError:
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return ServerError(f"worker {number} has ended by itself ({how}); all were stopped")


def _own_options(options: ServerOptions, port: int, rest_api_port: int) -> ServerOptions:
    """A worker's options: the ports by number, and its share of the processors."""
    changed: dict[str, int] = {"workers": 1, "port": port, "rest_api_port": rest_api_port}
    if not any(getattr(options, name) for name in _PARALLELISM):
        processors = len(os.sched_getaffinity(0))
        changed["tensorflow_session_parallelism"] = max(1, processors // options.workers)
    return dataclasses.replace(options, **changed)
