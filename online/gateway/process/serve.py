"""One process of the gateway, from its config to its end."""

import asyncio
import contextlib
import dataclasses
import gc
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator

from aiohttp import web
from prometheus_client.registry import CollectorRegistry

from podway.framework.config.online import Online, SqliteStore
from podway.online.error import OnlineError, StoreError
from podway.online.gateway import models
from podway.online.gateway.door import events as incoming
from podway.online.gateway.door import rest, rpc
from podway.online.gateway.door.access import Door
from podway.online.gateway.door.ask import Desk
from podway.online.gateway.door.events import Collector, Sent
from podway.online.gateway.door.log import Requests
from podway.online.gateway.gateway import Recommender
from podway.online.gateway.known import Known
from podway.online.gateway.lists import Following
from podway.online.gateway.metrics import STATES, Metrics
from podway.online.gateway.models import Asked, Models
from podway.online.gateway.publisher import Publisher
from podway.online.gateway.reader import Reader
from podway.online.gateway.shown import Events, Shown
from podway.online.queue import open as queues
from podway.online.queue.queue import Producer
from podway.online.servers.answer import ServerError
from podway.online.store import open as stores

_LOG = logging.getLogger(__name__)
_PERIOD = 1.0
_YOUNG = (20_000, 20, 50)
"""Objects more than before at which the youngest are looked through, and how often that is until
the older ones are."""
_WARM = 5.0
"""Seconds that the first answer of a model may take: it may be compiled for it."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Of a gateway.

    Attributes:
      online: queue, store, and the gateway's config.
      name: of the experiment, which is the model's name unless the config says another.
      workdir: where models/ and online/ are.
      host: address to listen on.
      port: of REST; 0: any free one.
      grpc_port: of gRPC; 0: any free one.
      workers: processes that share the ports, this one with them.
    """

    online: Online
    name: str
    workdir: str
    host: str = "127.0.0.1"
    port: int = 0
    grpc_port: int = 0
    workers: int = 1


@dataclasses.dataclass
class Running:
    """A gateway that runs.

    Attributes:
      port: of REST.
      grpc_port: of gRPC.
      problem: "", or why it is not ready.
    """

    port: int
    grpc_port: int
    problem: Callable[[], str]


def run(
    options: Options,
    stop: threading.Event,
    registry: CollectorRegistry,
    told: Callable[[Running], None],
) -> None:
    """Serves until `stop` is set, then finishes what is under way.

    Args:
      options: of the gateway.
      stop: asks for the end.
      registry: gets its metrics.
      told: gets what runs, once it listens.

    Raises:
      OnlineError: it cannot listen, or what it needs cannot be read.
    """
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with _fewer_collections(), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(options, stop, registry, told))


@contextlib.contextmanager
def _fewer_collections() -> Iterator[None]:
    """Has Python look for cycles less often, for the time of a block: a request leaves next to
    none, and what is remembered of thousands of users would be looked through again and again."""
    before = gc.get_threshold()
    gc.set_threshold(*_YOUNG)
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _serve(
    options: Options,
    stop: threading.Event,
    registry: CollectorRegistry,
    told: Callable[[Running], None],
) -> None:
    gateway = options.online.gateway
    door = Door(gateway.access, 1 / options.workers)
    metrics = Metrics(registry)
    reader = Reader(
        lambda: stores.open_store(options.online.store, options.workdir, options.name),
        gateway.guard,
        gateway.budget.seconds * gateway.budget.store,
        is_file=isinstance(options.online.store, SqliteStore),
    )
    await _first(reader)
    known = Known(reader, gateway)
    lists = Following(reader, known, gateway)
    publisher = _publisher(options, metrics) if gateway.impressions else None
    sent = _sent(options) if gateway.intake.open else None
    collector = None
    if sent is not None:
        collector = Collector(gateway.intake, options.online.events, sent, metrics)
    draining = warm = False

    def problem() -> str:
        if draining:
            return rest.DRAINING
        if not warm:
            return f"neither the model nor the lists of the store are there ({lists.missing})"
        return ""

    async with models.opened(gateway, options.name, options.workdir) as asked:
        recommender = Recommender(gateway, asked, known, lists, metrics)
        put = None if publisher is None else publisher.put
        desk = Desk(recommender, metrics, Requests(gateway), put)
        await lists.look()

        async def watch() -> None:
            nonlocal warm
            hedges = (0, 0)
            while True:
                warm = warm or bool(gateway.always) or not lists.missing or await _answers(asked)
                hedges = _gauges(metrics, asked, reader, publisher, recommender, hedges)
                metrics.events_waiting.set(0 if sent is None else sent.waiting)
                await asyncio.sleep(_PERIOD)

        tasks = [asyncio.create_task(lists.follow()), asyncio.create_task(watch())]
        try:
            async with (
                _rest(options, desk, door, problem, collector) as port,
                _rpc(options, desk, door, problem, collector) as grpc_port,
            ):
                told(Running(port, grpc_port, problem))
                await asyncio.to_thread(stop.wait)
                draining = True
                await asyncio.sleep(gateway.leave_seconds)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            reader.close()
            ending = [each for each in (publisher, sent) if each is not None]
            seconds = gateway.drain_seconds
            await asyncio.gather(*(asyncio.to_thread(each.close, seconds) for each in ending))


async def _first(reader: Reader) -> None:
    """Opens the store; one that does not answer is opened later."""
    try:
        await asyncio.to_thread(reader.open)
    except StoreError as error:
        _LOG.error("%s; the gateway starts without the store, and tries again", error)


def _opening(options: Options) -> Callable[[], Producer]:
    """Opens a producer of the queue."""
    online = options.online
    folder = os.path.join(options.workdir, "online", options.name)
    return lambda: queues.opened(online.queue, online.topics, folder).producer()


def _publisher(options: Options, metrics: Metrics) -> Publisher[Shown]:
    """Of what is shown."""
    online, events = options.online, Events()

    def count(outcome: str, number: int) -> None:
        metrics.impressions.labels(outcome).inc(number)

    return Publisher(
        _opening(options),
        online.topics.events,
        online.gateway.buffer,
        events.messages,
        events.published,
        count,
    )


def _sent(options: Options) -> Publisher[Sent]:
    """Of what clients send."""
    topic, most = options.online.topics.events, options.online.gateway.intake.buffer
    return Publisher(_opening(options), topic, most, incoming.messages, incoming.published)


async def _answers(asked: Models) -> bool:
    """Whether the model answers a user without a history."""
    try:
        await asked.retrieve("", Asked((), ()), None, "", _WARM)
    except ServerError:
        return False
    return True


def _gauges(
    metrics: Metrics,
    asked: Models,
    reader: Reader,
    publisher: Publisher[Shown] | None,
    recommender: Recommender,
    before: tuple[int, int],
) -> tuple[int, int]:
    states = {"store": reader.breaker.state, **asked.guarded.states()}
    hedges = asked.guarded.hedges()
    if asked.ranking is not None:
        states |= asked.ranking.states()
        hedges = tuple(map(sum, zip(hedges, asked.ranking.hedges(), strict=True)))
    for name, state in states.items():
        metrics.breakers.labels(name).set(STATES.index(state))
    won, lost = hedges[1] - before[1], (hedges[0] - before[0]) - (hedges[1] - before[1])
    metrics.hedged.labels("second").inc(max(0, won))
    metrics.hedged.labels("first").inc(max(0, lost))
    metrics.waiting.set(0 if publisher is None else publisher.waiting)
    metrics.in_flight.set(recommender.in_flight)
    return hedges[0], hedges[1]


@contextlib.asynccontextmanager
async def _rest(
    options: Options,
    desk: Desk,
    door: Door,
    problem: Callable[[], str],
    collector: Collector | None,
) -> AsyncIterator[int]:
    """Listens for the time of a block; then answers what is under way."""
    gateway = options.online.gateway
    runner = web.AppRunner(
        rest.application(desk, door, gateway.most, problem, collector),
        access_log=None,
        shutdown_timeout=gateway.drain_seconds,
    )
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, options.host, options.port, reuse_port=options.workers > 1 or None
        )
        try:
            await site.start()
        except OSError as error:
            raise OnlineError(
                f"cannot listen on {options.host}:{options.port} ({error.strerror or error}); give"
                " another --port, or 0 for any free one"
            ) from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _rpc(
    options: Options,
    desk: Desk,
    door: Door,
    problem: Callable[[], str],
    collector: Collector | None,
) -> AsyncIterator[int]:
    """Listens for the time of a block; then answers what is under way."""
    gateway = options.online.gateway
    server, port = await rpc.server(
        desk,
        door,
        gateway.most,
        problem,
        collector,
        options.host,
        options.grpc_port,
        shared=options.workers > 1,
    )
    await server.start()
    try:
        yield port
    finally:
        await server.stop(gateway.drain_seconds)
