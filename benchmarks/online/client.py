"""What it costs a client to split, copy and watch, beside asking alone.

    python -m benchmarks.online.client

A server that answers at once, in this process, is asked directly, and by a client while a rollout
is a canary, and a shadow of a tenth of the requests. What is added is this process's own time for
each request: a gateway's, which costs some 0.5 ms itself.
"""

import argparse
import asyncio
import pathlib
import tempfile
import time
from collections.abc import Awaitable, Callable

from podway.framework.config import Rollout
from podway.online.rollout import client, spool, state, store
from podway.online.servers.answer import Answer

_INPUTS = {"history": [["a", "b", "c"]]}


class AtOnce:
    """A server whose answers are there already."""

    def __init__(self):
        rows = {"item": [[f"i{number}" for number in range(20)]], "score": [[0.5] * 20]}
        self._answer = Answer(rows, 1)

    async def predict(self, model, inputs, **how) -> Answer:
        await asyncio.sleep(0)  # others have their turn, as before any server
        return self._answer


async def per_request(ask: Callable[[str], Awaitable[object]], count: int) -> float:
    """Microseconds of this process for each request."""
    start = time.process_time()
    for number in range(count):
        await ask(f"user {number}")
    return (time.process_time() - start) / count * 1e6


async def measured(home: pathlib.Path, count: int) -> None:
    server, now = AtOnce(), state.now()
    plan = Rollout(shadow=0.1, shares=(0.1,))
    current = state.begin("m", 2, 1, plan, now)
    alone = await per_request(lambda _: server.predict("m", _INPUTS), count)
    print(f"{'asked alone':<28}{alone:>8.1f} µs a request")
    for name in ("shadow", "canary"):
        while current.phase != name:
            current = state.forward(current, now)
            store.change(home, current)
        async with client.opened(home, server) as asking:
            found = await per_request(lambda key, ask=asking: ask.predict(key, _INPUTS), count)
        seen = spool.read(store.observations(home, current.rollout), {}).tallies
        kept = sum(each.requests for each in seen.values())
        print(f"{f'by a client, {name}':<28}{found:>8.1f} µs a request, +{found - alone:.1f}")
        print(f"{'':<28}{kept:>8} observations kept, {sum(t.lost for t in seen.values())} lost")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=50_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(measured(pathlib.Path(name) / "m", options.requests))


if __name__ == "__main__":
    main()
