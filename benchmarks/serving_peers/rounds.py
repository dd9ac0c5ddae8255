"""Servers measured in turns: each round asks all of them, one after the other."""

import dataclasses
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
import uvloop

from benchmarks.serving_peers import processes
from benchmarks.serving_peers.table import Sample

Load = Callable[..., Coroutine[Any, Any, tuple[float, np.ndarray]]]
"""Takes `concurrency`, `seconds` and `begin`, as serving.rest_load does."""


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
      name: in the table.
      pid: of its first process.
      load: asks it.
    """

    name: str
    pid: int
    load: Load


def measure(
    servers: Sequence[Server], concurrency: Sequence[int], rounds: int, seconds: float
) -> dict[int, dict[str, list[Sample]]]:
    """Concurrency → server → a sample of each round.

    Who is not measured stands still. Who fails is left out of all.
    """
    found = {number: {server.name: [] for server in servers} for number in concurrency}
    left = list(servers)
    try:
        for server in servers:
            processes.pause(server.pid)
        for turn in range(rounds):
            for number in concurrency:
                first = turn % len(left)
                for server in (*left[first:], *left[:first]):
                    try:
                        with processes.woken(server.pid):
                            found[number][server.name].append(sample(server, number, seconds))
                    except (OSError, EOFError, RuntimeError) as error:
                        print(f"left out: {server.name} at {number}: {error}", file=sys.stderr)
                        left.remove(server)
    finally:
        for server in servers:
            processes.wake(server.pid)
    names = [server.name for server in left]
    return {number: {name: of[name] for name in names} for number, of in found.items()}


def sample(server: Server, concurrency: int, seconds: float) -> Sample:
    """Asks a server for so long, after a second that is not counted."""
    start: list[tuple[float, float]] = []

    def begin() -> None:
        start[:] = [(processes.cpu_seconds(server.pid), time.process_time())]

    taken, latencies = uvloop.run(
        server.load(concurrency=concurrency, seconds=seconds, begin=begin)
    )
    cpu, own = start[0]
    return Sample(
        taken,
        latencies,
        server=processes.cpu_seconds(server.pid) - cpu,
        client=time.process_time() - own,
    )
