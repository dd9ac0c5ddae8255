"""How many events a second a lander lands, beside a consumer that only polls and commits.

    python -m benchmarks.online.lander

One queue in a file, filled once; each way reads all of it as a group of its own, in turns, after a
turn that is not counted. The goal is 0.7 of the bare consumer's rate. Beside it stands a consumer
that reads in columns, as the lander does: what the queue itself costs. CPU seconds are of this
process, all threads: what a machine that has other work, too, is to be planned with.
"""

import argparse
import contextlib
import pathlib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from podway.framework.config import online
from podway.online.events.event import Event, encode
from podway.online.lander import service
from podway.online.queue import open as queues
from podway.online.queue.queue import Message, Queue, Received
from podway.online.queue.run import polled

TOPICS = online.Topics()
FLUSH = 50_000
"""Messages between two commits."""
POLL = 10_000
"""Messages of a poll, as of the lander's."""


def fill(queue: Queue, count: int, known: bool) -> float:
    """Publishes events; bytes of one."""
    producer, begin, size = queue.producer(), time.time() - 3600, 0
    for start in range(0, count, 10_000):
        batch = []
        for at in range(start, min(start + 10_000, count)):
            fields: dict[str, Any] = {"seconds": at % 977 / 8}
            fields |= {} if known else {"page": "home", "text": "x" * 120}
            user, item = f"user-{at % 9973}", f"item-{at % 1009}"
            one = Event("play", user, item, begin + at * 3600 / count, fields=fields)
            batch.append(Message(user, encode(one)))
        size += sum(len(one.value) for one in batch)
        producer.publish(TOPICS.events, batch)
    producer.close()
    return size / count


def bare(queue: Queue, group: str, count: int) -> None:
    """Polls and commits."""
    consumer, done, waiting = queue.consumer(group, TOPICS.events), 0, 0
    last: dict[int, Received] = {}
    while done < count:
        messages = consumer.poll(POLL, 1.0)
        last |= {one.partition: one for one in messages}
        done, waiting = done + len(messages), waiting + len(messages)
        if waiting >= FLUSH or done == count:
            consumer.commit(last.values())
            waiting = 0
    consumer.close()


def columns(queue: Queue, group: str, count: int) -> None:
    """The same, in columns."""
    consumer, done, waiting = queue.consumer(group, TOPICS.events), 0, 0
    last: dict[int, Received] = {}
    while done < count:
        for run in polled(consumer, POLL, 1.0):
            last[run.partition] = run.message(len(run) - 1)
            done, waiting = done + len(run), waiting + len(run)
        if waiting >= FLUSH or done == count:
            consumer.commit(last.values())
            waiting = 0
    consumer.close()


def landing(config: online.Online, folder: pathlib.Path, count: int) -> None:
    """Lands all of it."""
    found = service.run(config, str(folder), "127.0.0.1", 0, threading.Event(), drain=True)
    assert found["landed"] == count, found


def measured(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--known", action="store_true", help="no field is unknown to the schemas")
    given = parser.parse_args()
    count = given.messages
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config = online.SqliteQueue(path=str(folder / "queue.sqlite"), durable=False)
        with contextlib.closing(queues.opened(config, TOPICS)) as queue:
            size = fill(queue, count, given.known)
            rates: dict[str, list[tuple[float, float]]] = {"bare": [], "columns": [], "lander": []}
            for turn in range(given.rounds + 1):
                rates["bare"].append(measured(lambda turn=turn: bare(queue, f"b{turn}", count)))
                rates["columns"].append(
                    measured(lambda turn=turn: columns(queue, f"c{turn}", count))
                )
                lander = online.Lander(group=f"l{turn}", path=str(folder / f"{turn}"), rows=FLUSH)
                whole = online.Online(queue=config, topics=TOPICS, lander=lander)
                rates["lander"].append(measured(lambda whole=whole: landing(whole, folder, count)))
    print(f"{count:,} events of {size:.0f} bytes, a commit each {FLUSH:,}")
    rates = {way: found[1:] for way, found in rates.items()}
    for way, found in rates.items():
        wall, cpu = (statistics.median(each) for each in zip(*found, strict=True))
        print(f"{way:<8}{count / wall:>12,.0f} events/s{count / cpu:>12,.0f} per CPU second")
    for at, what in enumerate(("wall", "CPU")):
        ratios = [
            one[at] / two[at] for one, two in zip(rates["bare"], rates["lander"], strict=True)
        ]
        said = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"lander ÷ bare, {what} time, each turn: {said}")


if __name__ == "__main__":
    main()
