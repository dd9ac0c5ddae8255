"""Nearline: how soon an event is seen, and how many events a process takes in.

    python -m benchmarks.online.nearline                 # file queue and file store
    python -m benchmarks.online.nearline --store redis --rate 500

Soon: events come at a rate from Poisson's clock, whether or not the service keeps up; some of them
are watched, from before they are published: one half until a read of the store has them, the other
until an answer of the gateway leaves their item out. Nearline, gateway and model server are
processes. How many: a topic is filled first, then drained into histories that are there already;
the baseline is a bare consumer of the same queue in the same run, which polls and commits and does
nothing else.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import numpy as np
from prometheus_client.registry import CollectorRegistry

from benchmarks.online.store import STORES
from podway.framework import codec
from podway.framework.config import online as config
from podway.online.events.event import Event, encode
from podway.online.gateway.process import serve
from podway.online.nearline import run
from podway.online.queue import open as queues
from podway.online.queue.queue import Message, Producer
from podway.online.service import stop as stops
from podway.online.store import history as histories
from podway.online.store import open as stores
from podway.online.store.history import Entry, mark
from podway.online.store.store import HISTORY, Store

WATCHED_EVERY = 0.05
USERS, WATCHED = 5000, 50
NAME = "x"


def event(chance: random.Random, user: str, item: str = "") -> Message:
    item = item or f"b{int(chance.paretovariate(0.8)) % 50_000}"
    found = Event("play", user, item, time.time(), fields={"segment": f"s{chance.randrange(8)}"})
    return Message(user, encode(found))


def opened(online: config.Online, folder: str):
    place = f"{folder}/online/{NAME}"
    return contextlib.closing(queues.opened(online.queue, online.topics, place))


def fill(store: Store, users: list[str], length: int) -> None:
    """A history for each: of hours, to the microsecond."""
    chance, now = random.Random(4), time.time()
    for start in range(0, len(users), 1000):
        values = {}
        for user in users[start : start + 1000]:
            times = sorted(now - chance.random() * 3600 * length for _ in range(length))
            found = [
                Entry(round(t * 1e6), f"b{chance.randrange(50_000)}", "play", mark(f"{user}{at}"))
                for at, t in enumerate(times)
            ]
            values[user] = histories.pack(histories.merge(histories.EMPTY, found, None))
        store.write(HISTORY, values)


@contextlib.contextmanager
def part(kind: str, online: config.Online, folder: str, port: int = 0) -> Iterator[None]:
    """A part as a process, which listens where it has a port."""
    if kind == "model":
        command = [sys.executable, "-m", "tests.online.gateway.backend", str(port)]
    else:
        told = json.dumps(codec.to_json(online))
        command = [sys.executable, "-m", "benchmarks.online.nearline", "--part", kind]
        command += [told, folder, str(port)]
    process = subprocess.Popen(command)
    try:
        while port:
            assert process.poll() is None
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def be(kind: str, told: str, folder: str, port: str) -> None:
    """The part that this process is."""
    online = codec.from_json(config.Online, json.loads(told))
    with stops.asked() as stop:
        if kind == "nearline":
            run.run(run.Options(online, NAME, folder), stop, CollectorRegistry())
        else:
            options = serve.Options(online, "m", folder, port=int(port))
            serve.run(options, stop, CollectorRegistry(), lambda _: None)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def soon(
    online: config.Online, folder: str, rate: float, seconds: float
) -> tuple[list[float], list[float]]:
    """Seconds from before an event is published until the store has it, and until an answer."""
    model, door = free_port(), free_port()
    gateway = config.Gateway(
        server=f"127.0.0.1:{model}", budget=config.Budget(seconds=5.0), log_share=0.0
    )
    # One store for both, whatever the experiments are called.
    store_config = online.store
    if isinstance(store_config, config.SqliteStore) and not store_config.path:
        store_config = dataclasses.replace(store_config, path=f"{folder}/store.sqlite")
    queue_config = config.SqliteQueue(path=f"{folder}/queue.sqlite", durable=False)
    online = dataclasses.replace(online, store=store_config, queue=queue_config, gateway=gateway)
    chance, ended = random.Random(1), threading.Event()
    url = f"http://127.0.0.1:{door}/v1/recommend"

    def load() -> None:
        with opened(online, folder) as queue, contextlib.closing(queue.producer()) as producer:
            due = time.monotonic()
            while not ended.is_set():
                due += chance.expovariate(rate)
                time.sleep(max(0.0, due - time.monotonic()))
                producer.publish("events", [event(chance, f"u{chance.randrange(USERS)}")])

    def answer(user: str) -> list[str]:
        body = json.dumps({"user": user, "k": 5}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as response:
            found = json.load(response)
        assert found["source"] in ("model", "cache"), found
        return [each["item"] for each in found["items"]]

    with contextlib.ExitStack() as stack:
        queue = stack.enter_context(opened(online, folder))
        producer = stack.enter_context(contextlib.closing(queue.producer()))
        store = stack.enter_context(stores.opened(online.store, folder, NAME))
        fill(store, [f"{name}{at}" for at in range(WATCHED) for name in ("store", "answer")], 20)
        stack.enter_context(part("model", online, folder, model))
        stack.enter_context(part("gateway", online, folder, door))
        stack.enter_context(part("nearline", online, folder))

        def held(user: str) -> int:
            [value] = store.read(HISTORY, [user])
            return len(histories.unpack(value.content)) if value else 0

        def watch(user: str, item: str, seen: Callable[[], bool]) -> float:
            begun = time.monotonic()
            publish(producer, chance, user, item)
            while not seen():
                assert time.monotonic() < begun + 60
                time.sleep(0.001)
            return time.monotonic() - begun

        before = held("store0")  # the service is there once this one is seen
        watch("store0", "b1", lambda: held("store0") > before)
        loading = threading.Thread(target=load)
        loading.start()
        stored, answered, at = [], [], 0
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                at += 1
                user = f"store{at % WATCHED}"
                count = held(user)
                stored.append(watch(user, "b2", lambda user=user, n=count: held(user) > n))
                time.sleep(WATCHED_EVERY)
                user = f"answer{at % WATCHED}"
                item = answer(user)[0]
                found = watch(user, item, lambda user=user, item=item: item not in answer(user))
                answered.append(found)
                time.sleep(WATCHED_EVERY)
        finally:
            ended.set()
            loading.join()
    return stored, answered


def publish(producer: Producer, chance: random.Random, user: str, item: str) -> None:
    producer.publish("events", [event(chance, user, item)])


@dataclasses.dataclass(frozen=True)
class Speed:
    """Events a second, and for each second of the processor."""

    wall: float
    processor: float


def many(online: config.Online, folder: str, events: int, length: int) -> tuple[Speed, Speed]:
    """Of the service, and of a bare consumer."""
    chance, users = random.Random(2), [f"u{at}" for at in range(USERS)]
    with opened(online, folder) as queue, stores.opened(online.store, folder, NAME) as store:
        fill(store, users, length)
        with contextlib.closing(queue.producer()) as producer:
            for _ in range(0, events, 1000):
                given = [event(chance, chance.choice(users)) for _ in range(1000)]
                producer.publish("events", given)

        def bare() -> None:
            done = 0
            with contextlib.closing(queue.consumer("bare", "events")) as consumer:
                while done < events:
                    messages = consumer.poll(online.nearline.batch, 1.0)
                    consumer.commit(messages)
                    done += len(messages)

        baseline = measured(bare, events)
    registry, stop = CollectorRegistry(), threading.Event()

    def own() -> None:
        while (registry.get_sample_value(name, {"outcome": "new"}) or 0) < events:
            time.sleep(0.01)

    name = "podway_nearline_events_total"
    options = run.Options(online, NAME, folder)
    service = threading.Thread(target=lambda: run.run(options, stop, registry))
    service.start()
    found = measured(own, events)
    stop.set()
    service.join()
    return found, baseline


def measured(does: Callable[[], None], events: int) -> Speed:
    start, processor = time.monotonic(), time.process_time()
    does()
    return Speed(events / (time.monotonic() - start), events / (time.process_time() - processor))


def said(what: str, found: list[float]) -> str:
    p50, p95, p99 = 1e3 * np.quantile(found, (0.5, 0.95, 0.99))
    return (
        f"{what} after {p50:.0f} ms (p50), {p95:.0f} ms (p95), {p99:.0f} ms (p99),"
        f" {1e3 * max(found):.0f} ms at most; {len(found)} watched"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", default="sqlite", choices=STORES)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--history", type=int, default=100, help="events that users have before")
    parser.add_argument("--only", choices=("soon", "many"))
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        be(*options.part)
        return
    queue = config.SqliteQueue(durable=False)
    for what in (options.only,) if options.only else ("soon", "many"):
        with (
            tempfile.TemporaryDirectory() as folder,
            STORES[options.store](pathlib.Path(folder)) as (chosen, _, _),
        ):
            online = dataclasses.replace(config.Online(), queue=queue, store=chosen)
            where = f"{options.store}, load {os.getloadavg()[0]:.0f}"
            if what == "soon":
                stored, answered = soon(online, folder, options.rate, options.seconds)
                print(f"{where}, {options.rate:g} events/s beside: an event is seen")
                print(said("  in the store", stored))
                print(said("  in the next recommendation", answered), flush=True)
            else:
                own, bare = many(online, folder, options.events, options.history)
                print(
                    f"{where}: {own.processor:,.0f} events for a second of the processor"
                    f" ({own.wall:,.0f}/s) into histories of {options.history} and more, counts and"
                    f" features; a bare consumer {bare.processor:,.0f} ({bare.wall:,.0f}/s); ratio"
                    f" {own.processor / bare.processor:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
