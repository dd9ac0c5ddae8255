"""What the gateway itself does for an answer, without any network: the processor's time.

    python -m benchmarks.online.gateway_logic

A request as a dictionary in, JSON out: the history from a store in SQLite, candidates of a model
that answers at once and in this process, rules with a cap, attributes, metrics, and what was shown,
published to a queue in SQLite. Printed are the least of several rounds, as other programs of the
machine can only add to it.
"""

import argparse
import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from prometheus_client.registry import CollectorRegistry

from benchmarks.online.gateway import ITEMS, USERS, fill, run
from podway.framework.config.online import Budget, Gateway, Online, Rules
from podway.online.gateway import models, request
from podway.online.gateway.door.ask import Desk
from podway.online.gateway.door.log import Requests
from podway.online.gateway.gateway import Recommender
from podway.online.gateway.known import Known
from podway.online.gateway.lists import Following
from podway.online.gateway.metrics import Metrics
from podway.online.gateway.publisher import Publisher
from podway.online.gateway.reader import Reader
from podway.online.gateway.shown import Events
from podway.online.queue import open as queues
from podway.online.servers.answer import Answer, Server
from podway.online.store import open as stores

_AT_ONCE = 50
"""Requests after which the loop may do something else."""


class Ready:
    """A model whose answers are there already; each is made anew, as one from the network is."""

    def __init__(self):
        chance = random.Random(0)
        self._items = [[f"i{n}" for n in chance.sample(range(ITEMS), 40)] for _ in range(64)]

    async def predict(self, model: str, inputs: Mapping[str, Any], **_: Any) -> Answer:
        names = self._items[hash(inputs["history"][0][0]) % len(self._items)]
        scores = [40.0 - at for at in range(len(names))]
        return Answer({"item": [["".join(name) for name in names]], "score": [scores]}, 1)


@contextlib.asynccontextmanager
async def connected(address: str, types: Mapping[str, str] | None = None) -> AsyncIterator[Server]:
    yield Ready()


async def measured(cached: bool, requests: int, rounds: int) -> tuple[float, float]:
    """Microseconds of an answer: of the event loop's thread, and of all threads."""
    gateway = Gateway(
        cache_seconds=60.0 if cached else 0.0,
        rules=Rules(category="kind", per_category=10),
        budget=Budget(seconds=5.0),
        log_share=0.0,
    )
    online, chance = Online(gateway=gateway), random.Random(2)
    least = [float("inf")] * 2
    with tempfile.TemporaryDirectory() as folder:
        fill(folder)
        metrics, events = Metrics(CollectorRegistry()), Events()
        reader = Reader(
            lambda: stores.open_store(online.store, folder, "m"), gateway.guard, 1.0, is_file=True
        )
        reader.open()
        known = Known(reader, gateway)
        lists = Following(reader, known, gateway)
        publisher = Publisher(
            lambda: queues.opened(online.queue, online.topics, folder).producer(),
            online.topics.events,
            requests * 2,
            events.messages,
            events.published,
        )
        async with models.opened(gateway, "m", folder) as asked:
            recommender = Recommender(gateway, asked, known, lists, metrics)
            desk = Desk(recommender, metrics, Requests(gateway), publisher.put)
            await lists.look()

            async def go(count: int) -> None:
                for at in range(count):
                    given = {"user": f"u{chance.randrange(USERS)}", "k": 20}
                    answer = await desk.answer(request.of(given, most=100), "REST")
                    assert answer.body()
                    if at % _AT_ONCE == 0:
                        await asyncio.sleep(0)
                while publisher.waiting:
                    await asyncio.sleep(0.05)

            await go(3 * USERS)
            for _ in range(rounds):
                before = time.thread_time(), time.process_time()
                await go(requests)
                spent = time.thread_time() - before[0], time.process_time() - before[1]
                least = [min(a, b / requests * 1e6) for a, b in zip(least, spent, strict=True)]
        reader.close()
        await asyncio.to_thread(publisher.close, 5.0)
    return least[0], least[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    models.connected = connected

    async def both() -> None:
        for name, cached in (("model asked", False), ("from the cache", True)):
            loop, everything = await measured(cached, given.requests, given.rounds)
            print(f"{name:<16}{loop:>6.0f} µs in the loop {everything:>6.0f} µs in all", flush=True)

    run(both())


if __name__ == "__main__":
    main()
