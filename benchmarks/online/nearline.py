"""Nearline: how soon an event is seen, and how many events a process takes in.

    python benchmarks/online/nearline.py                 # file queue and file store
    python benchmarks/online/nearline.py --store redis --rate 500

Soon: events come at a rate from Poisson's clock, whether or not the service keeps up; some of them
are watched: from before they are published until a read of the store has them. How many: a topic is
filled first, then drained; the baseline is a bare consumer of the same queue in the same run, which
polls and commits and does nothing else.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import random
import tempfile
import threading
import time

import numpy as np
from prometheus_client.registry import CollectorRegistry

from benchmarks.online.store import STORES
from podway.framework.config import online as config
from podway.online.events.event import Event, encode
from podway.online.nearline import run
from podway.online.queue import open as queues
from podway.online.queue.queue import Message
from podway.online.store import history as histories
from podway.online.store import open as stores
from podway.online.store.store import HISTORY

WATCHED_EVERY = 0.05


def event(chance: random.Random, user: str) -> Message:
    item = f"i{int(chance.paretovariate(0.8)) % 50_000}"
    found = Event("play", user, item, time.time(), fields={"segment": f"s{chance.randrange(8)}"})
    return Message(user, encode(found))


def opened(online: config.Online, folder: str):
    return contextlib.closing(queues.opened(online.queue, online.topics, f"{folder}/online/x"))


def soon(online: config.Online, folder: str, rate: float, seconds: float) -> list[float]:
    """Seconds from published to seen, of the watched events."""
    chance, stop, found = random.Random(1), threading.Event(), list[float]()
    options = run.Options(online, "x", folder)
    service = threading.Thread(target=lambda: run.run(options, stop, CollectorRegistry()))
    service.start()
    ended = threading.Event()

    def load() -> None:
        with opened(online, folder) as queue, contextlib.closing(queue.producer()) as producer:
            due = time.monotonic()
            while not ended.is_set():
                due += chance.expovariate(rate)
                time.sleep(max(0.0, due - time.monotonic()))
                producer.publish("events", [event(chance, f"u{chance.randrange(5000)}")])

    loading = threading.Thread(target=load)
    loading.start()
    try:
        with (
            opened(online, folder) as queue,
            contextlib.closing(queue.producer()) as producer,
            stores.opened(online.store, folder, "x") as store,
        ):
            end, at = time.monotonic() + seconds, 0
            while time.monotonic() < end:
                at += 1
                user, begun = f"watched{at % 50}", time.monotonic()
                [before] = store.read(HISTORY, [user])
                count = len(histories.unpack(before.content)) if before else 0
                producer.publish("events", [event(chance, user)])
                while True:
                    [value] = store.read(HISTORY, [user])
                    if value and len(histories.unpack(value.content)) > count:
                        break
                    time.sleep(0.001)
                found.append(time.monotonic() - begun)
                time.sleep(WATCHED_EVERY)
    finally:
        ended.set()
        loading.join()
        stop.set()
        service.join()
    return found


def many(online: config.Online, folder: str, events: int) -> tuple[float, float]:
    """Events a second: of the service, and of a bare consumer."""
    chance = random.Random(2)
    with opened(online, folder) as queue:
        with contextlib.closing(queue.producer()) as producer:
            for _ in range(0, events, 1000):
                given = [event(chance, f"u{chance.randrange(5000)}") for _ in range(1000)]
                producer.publish("events", given)
        with contextlib.closing(queue.consumer("bare", "events")) as consumer:
            done, start = 0, time.monotonic()
            while done < events:
                messages = consumer.poll(online.nearline.batch, 1.0)
                consumer.commit(messages)
                done += len(messages)
            bare = events / (time.monotonic() - start)
    registry, stop = CollectorRegistry(), threading.Event()
    start = time.monotonic()
    service = threading.Thread(
        target=lambda: run.run(run.Options(online, "x", folder), stop, registry)
    )
    service.start()
    name = "podway_nearline_events_total"
    while (registry.get_sample_value(name, {"outcome": "new"}) or 0) < events:
        time.sleep(0.01)
    own = events / (time.monotonic() - start)
    stop.set()
    service.join()
    return own, bare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="sqlite", choices=STORES)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--events", type=int, default=20_000)
    options = parser.parse_args()
    queue = config.SqliteQueue(durable=False)
    for what in ("soon", "many"):
        with (
            tempfile.TemporaryDirectory() as folder,
            STORES[options.store](pathlib.Path(folder)) as (chosen, _, _),
        ):
            online = dataclasses.replace(config.Online(), queue=queue, store=chosen)
            load = os.getloadavg()[0]
            if what == "soon":
                found = soon(online, folder, options.rate, options.seconds)
                p50, p95, p99 = 1e3 * np.quantile(found, (0.5, 0.95, 0.99))
                print(
                    f"{options.store}, {options.rate:g} events/s beside, load {load:.0f}: an event"
                    f" is seen after {p50:.0f} ms (p50), {p95:.0f} ms (p95), {p99:.0f} ms (p99),"
                    f" {1e3 * max(found):.0f} ms at most; {len(found)} watched",
                    flush=True,
                )
            else:
                own, bare = many(online, folder, options.events)
                print(
                    f"{options.store}, load {load:.0f}: {own:,.0f} events/s into histories, counts"
                    f" and features; a bare consumer {bare:,.0f}; ratio {own / bare:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
