"""How simulated users reach the services: they ask the gateway, and tell the queue."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence

import aiohttp
import pyarrow.dataset

from podway.framework.config import Experiment
from podway.launch.simulation.visits import Shown, Visits
from podway.online.error import QueueError
from podway.online.events.event import Event, encode
from podway.online.queue.open import opened
from podway.online.queue.queue import Message


class Told:
    """Events go straight to the queue, as a server of the shop's own would send them."""

    def __init__(self, experiment: Experiment, workdir: str):
        online, folder = experiment.online, os.path.join(workdir, "online", experiment.name)
        self._topic = online.topics.events
        self._queue = opened(online.queue, online.topics, folder)
        self._producer = self._queue.producer()

    def publish(self, events: Sequence[Event]) -> None:
        """Returns when the queue keeps them. Raises OSError where it does not in time."""
        try:
            messages = [Message(event.user, encode(event)) for event in events]
            self._producer.publish(self._topic, messages, timeout=10)
        except QueueError as error:
            raise ConnectionError(str(error)) from error

    async def tell(self, events: Sequence[Event]) -> None:
        """As publish."""
        await asyncio.to_thread(self.publish, events)


class Asked:
    """The gateway, asked by REST. While it is not there, a client tries again, as any would."""

    def __init__(self, url: str):
        self.url = url
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, user: str) -> Shown:
        """What is shown to a user. Raises OSError where the gateway says no."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10))
        until = time.monotonic() + 30
        while True:
            try:
                async with self._session.get(self.url, params={"user": user}) as response:
                    body = await response.json()
            except (aiohttp.ClientConnectionError, TimeoutError):
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.2)
                continue
            if response.status != 200:
                raise OSError(f"the gateway answers {response.status}: {body}")
            items = tuple(each["item"] for each in body["items"])
            by_model = body["source"] in ("model", "cache")
            return Shown(items, (body["model"]["version"] or 0) if by_model else 0)

    async def close(self) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()


@contextlib.contextmanager
def coming(visits: Visits, asked: Asked) -> Iterator[None]:
    """Visits come for the time of a block, in a thread of their own."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(visits.run(stop)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.run_until_complete(asked.close())
        loop.close()


def landed(folder: str) -> set[str]:
    """Ids of all plays in the shards of a lander."""
    shards = pyarrow.dataset.dataset(folder, format="parquet", partitioning="hive")
    rows = shards.to_table(columns=["id"], filter=pyarrow.dataset.field("type") == "play")
    ids = rows.column("id").to_pylist()
    return set(ids)
