"""What the queues take and give, beside their bare clients in the same run.

    python -m benchmarks.online.queue [--kinds sqlite kafka] [--count 50000]

Messages of 300 bytes and 1,000 keys; each publish has 100, each poll 1,000 at most and is followed
by a commit. Beside SQLite stands one table of one column, in transactions of the same sizes; beside
Kafka its own client, with the same settings. Kafka is started here, from `make kafka`'s jars.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import sqlite3
import tempfile
import time
from collections.abc import Callable

from podway.framework.config import online
from podway.online.queue import open as queues
from podway.online.queue.queue import Message

BATCH, POLL = 100, 1000
TOPICS = online.Topics("events", "events-dead", 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", default=["sqlite"], choices=["sqlite", "kafka"])
    parser.add_argument("--count", type=int, default=50_000)
    options = parser.parse_args()
    messages = [
        Message(f"u{i % 1000}", f"{i:09}".encode() + b"x" * 291) for i in range(options.count)
    ]
    print(f"{'':<30}{'publish/s':>12}{'consume/s':>12}{'CPU µs in':>12}{'CPU µs out':>12}")
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        if "sqlite" in options.kinds:
            for durable in (True, False):
                config = online.SqliteQueue(path=str(place / f"{durable}"), durable=durable)
                name = f"sqlite, durable={durable}"
                ours = told(name, *through(config, messages))
                bare = told(
                    f"{name}: bare table", *table(place / f"bare{durable}", durable, messages)
                )
                ratio(ours, bare)
        if "kafka" in options.kinds:
            from tests.online.queue import servers

            server, address = servers.kafka(place)
            server.start()
            try:
                ours = told("kafka", *through(online.KafkaQueue(servers=address), messages))
                bare = told("kafka: bare client", *client(address, messages))
                ratio(ours, bare)
            finally:
                server.kill()


def timed(act: Callable[[], int]) -> tuple[float, float, int]:
    """Seconds, seconds of this process' CPU, and how many messages."""
    wall, cpu = time.perf_counter(), time.process_time()
    count = act()
    return time.perf_counter() - wall, time.process_time() - cpu, count


def through(config: online.Queue, messages: list[Message]) -> tuple:
    """By Podway's queue."""
    with contextlib.closing(queues.opened(config, TOPICS)) as queue:
        producer = queue.producer()
        consumer = queue.consumer("readers", TOPICS.events)

        def publish() -> int:
            for start in range(0, len(messages), BATCH):
                producer.publish(TOPICS.events, messages[start : start + BATCH])
            return len(messages)

        def consume() -> int:
            count = 0
            while count < len(messages):
                found = consumer.poll(POLL, 10)
                consumer.commit(found)
                count += len(found)
            return count

        result = timed(publish), timed(consume)
        consumer.close()
        producer.close()
        return result


def table(path: pathlib.Path, durable: bool, messages: list[Message]) -> tuple:
    """By SQLite alone."""
    base = sqlite3.connect(path, isolation_level=None)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    base.execute("CREATE TABLE m (n INTEGER PRIMARY KEY, key TEXT, value BLOB)")
    base.execute("CREATE TABLE done (n INTEGER)")
    base.execute("INSERT INTO done VALUES (0)")

    def publish() -> int:
        for start in range(0, len(messages), BATCH):
            rows = [(message.key, message.value) for message in messages[start : start + BATCH]]
            base.execute("BEGIN IMMEDIATE")
            base.executemany("INSERT INTO m (key, value) VALUES (?, ?)", rows)
            base.execute("COMMIT")
        return len(messages)

    def consume() -> int:
        last = 0
        while True:
            asked = "SELECT n, key, value FROM m WHERE n > ? ORDER BY n LIMIT ?"
            if not (found := base.execute(asked, (last, POLL)).fetchall()):
                return last
            last = found[-1][0]
            base.execute("UPDATE done SET n = ?", (last,))

    return timed(publish), timed(consume)


def client(address: str, messages: list[Message]) -> tuple:
    """By confluent-kafka alone."""
    from confluent_kafka import Consumer, Producer

    topics = dataclasses.replace(TOPICS, events="bare")
    with contextlib.closing(queues.opened(online.KafkaQueue(servers=address), topics)):
        pass
    common = {"bootstrap.servers": address}
    producer = Producer(
        {**common, "enable.idempotence": True, "compression.type": "lz4", "linger.ms": 5}
    )
    consumer = Consumer(
        {
            **common,
            "group.id": "bare",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "queued.min.messages": 10_000,
        }
    )
    consumer.subscribe(["bare"])

    def publish() -> int:
        for start in range(0, len(messages), BATCH):
            for message in messages[start : start + BATCH]:
                producer.produce("bare", message.value, message.key.encode())
            producer.flush()
        return len(messages)

    def consume() -> int:
        count = 0
        while count < len(messages):
            found = consumer.consume(POLL, 10)
            if found:
                consumer.commit(asynchronous=False)
            count += len([message.value() for message in found])
        return count

    result = timed(publish), timed(consume)
    consumer.close()
    return result


def told(name: str, *timings: tuple[float, float, int]) -> list[float]:
    """Prints a line; gives both rates."""
    rates = [count / wall for wall, _, count in timings]
    costs = [cpu / count * 1e6 for _, cpu, count in timings]
    print(f"{name:<30}{rates[0]:>12,.0f}{rates[1]:>12,.0f}{costs[0]:>12.1f}{costs[1]:>12.1f}")
    return rates


def ratio(ours: list[float], bare: list[float]) -> None:
    found = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
    print(f"{'of the bare one':<30}{found[0]:>11.2f}×{found[1]:>11.2f}×")


if __name__ == "__main__":
    main()
