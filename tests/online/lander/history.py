"""The history checker: what was published and what was landed, while everything is killed.

    python -m tests.online.lander.history --messages 10000 --kills 100
    python -m tests.online.lander.history --kind kafka --broker-kills 12

Producers publish numbered events of users, and publish again what they do not know to be kept.
Landers land. At random moments one of them, or the broker, gets a kill -9, and is started anew. At
the end the shards are held against what was published: lost, doubled, out of order.
"""

import argparse
import collections
import contextlib
import dataclasses
import itertools
import json
import multiprocessing
import pathlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq

from podway.beam import dataset
from podway.framework import artifact
from podway.framework.config import Columns, Data, Parquet, online
from podway.online.error import QueueError
from podway.online.events.event import Event, encode
from podway.online.lander import service
from podway.online.queue import open as queues
from podway.online.queue.queue import Message
from tests.online.queue.brokers import Broker, Kafka, Sqlite

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "podway.online.lander.service",
        "podway.online.queue.sqlite",
        "podway.online.queue.kafka",
    ]
)
_BATCH = 10
_REST = 0.01
"""Seconds between two batches of a producer."""
BROKER = "broker"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is done.

    Attributes:
      messages: that all producers publish.
      kills: of random processes, the broker's among them.
      broker_kills: of the broker, where that is a process.
      pause: seconds from the message at which a kill is due to the kill, at most.
      seed: of the moments and the victims.
      users: whose events they are.
      producers: processes.
      landers: processes, of one group.
      spread: seconds between the first event and the last, by the events' own times.
    """

    messages: int
    kills: int
    broker_kills: int = 0
    pause: float = 0.6
    seed: int = 0
    users: int = 20
    producers: int = 2
    landers: int = 2
    spread: float = 7200.0

    def victims(
        self, names: Sequence[str], generator: random.Random
    ) -> Iterator[tuple[int, float, str]]:
        """Kills: after how many messages, how many seconds behind them, and of whom. By messages,
        so that a slow machine is in the midst of them, too."""
        found = [generator.choice(names) for _ in range(self.kills - self.broker_kills)]
        found += [BROKER] * self.broker_kills
        generator.shuffle(found)
        counts = sorted(generator.uniform(0, 0.95 * self.messages) for _ in found)
        for count, victim in zip(counts, found, strict=True):
            yield int(count), generator.uniform(0, self.pause), victim


@dataclasses.dataclass
class Found:
    """Attributes:
    published: distinct events.
    landed: rows of all shards.
    shards: files.
    lost: published events that no shard has.
    doubled: events of the dataset that is made of the shards, beyond those that were published.
    out_of_order: events of a user behind a later one, in an hour's shards.
    landed_twice: rows whose id an earlier row has: what a producer published again.
    kills: by what was killed.
    seconds: from the first process to the last one's end.
    """

    published: int = 0
    landed: int = 0
    shards: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    landed_twice: int = 0
    kills: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


def _events(plan: Plan, producer: int, begin: float) -> list[Event]:
    """A producer's events: numbered for each of its users."""
    found, step = [], plan.spread / max(plan.messages // plan.producers, 1)
    numbers = collections.Counter()
    for at in range(plan.messages // plan.producers):
        user = f"u{producer}-{at % max(plan.users // plan.producers, 1)}"
        number = numbers[user]
        numbers[user] += 1
        found.append(Event("play", user, f"i{number}", begin + at * step, f"{user}/{number}"))
    return found


def _produce(config: Any, topics: Any, plan: Plan, producer: int, begin: float, note: str) -> None:
    """Goes on where the note says; what it does not say is published, perhaps once more."""
    events, file = _events(plan, producer, begin), pathlib.Path(note)
    done = int(file.read_text()) if file.exists() else 0
    sender: Any = None
    while done < len(events):
        batch = [Message(one.user, encode(one)) for one in events[done : done + _BATCH]]
        try:
            sender = sender or queues.opened(config, topics).producer()
            sender.publish(topics.events, batch, 5.0)
        except QueueError:
            time.sleep(0.1)
            continue
        done += len(batch)
        fresh = file.with_suffix(".new")
        fresh.write_text(str(done))
        fresh.replace(file)
        time.sleep(_REST)


def _land(config: online.Online, folder: str) -> None:
    from podway.online.service import stop

    while True:
        with contextlib.suppress(QueueError), stop.asked() as asked:
            service.run(config, folder, "127.0.0.1", 0, asked)
            return
        time.sleep(0.1)


def run(broker: Broker, plan: Plan, folder: pathlib.Path, lander: online.Lander) -> Found:
    """Publishes, lands, kills; what is found at the end."""
    topics, generator = broker.topics(4), random.Random(plan.seed)
    config = dataclasses.replace(broker.config, retry_seconds=0.05, attempts=100)
    all_of_it = online.Online(queue=config, topics=topics, lander=lander)
    queues.opened(config, topics).close()
    begin, started = time.time() - plan.spread - 600, time.monotonic()
    workers: dict[str, Callable[[], Any]] = {}
    for at in range(plan.producers):
        note = str(folder / f"producer-{at}")
        workers[f"producer {at}"] = lambda at=at, note=note: _CONTEXT.Process(
            target=_produce, args=(config, topics, plan, at, begin, note)
        )
    for at in range(plan.landers):
        workers[f"lander {at}"] = lambda: _CONTEXT.Process(
            target=_land, args=(all_of_it, str(folder))
        )
    running = {}
    found = Found(plan.messages // plan.producers * plan.producers)
    kills: collections.Counter[str] = collections.Counter()
    try:
        for name, make in workers.items():
            running[name] = make()
            running[name].start()
        for count, pause, victim in plan.victims(list(workers), generator):
            _published(folder, count)
            time.sleep(pause)
            kills[victim.partition(" ")[0]] += 1
            if victim == BROKER:
                broker.kill()
                time.sleep(generator.uniform(0.0, 0.5))
                broker.start()
                continue
            running[victim].kill()
            running[victim].join()
            running[victim] = workers[victim]()
            running[victim].start()
        for name, process in running.items():
            if name.startswith("producer"):
                process.join(300)
                assert process.exitcode == 0, f"{name} did not end well"
        _drained(config, topics, lander.group)
        for process in running.values():
            process.terminate()
            process.join(60)
    finally:
        for process in running.values():
            if process.is_alive():
                process.kill()
                process.join()
    found.kills, found.seconds = dict(kills), time.monotonic() - started
    return _check(found, plan, folder / "landed", begin)


def _published(folder: pathlib.Path, count: int) -> None:
    """Waits until producers know of so many messages that they are kept."""
    end = time.monotonic() + 120
    while sum(int(note.read_text()) for note in folder.glob("producer-?")) < count:
        assert time.monotonic() < end, f"{count} messages are not published"
        time.sleep(0.01)


def _drained(config: Any, topics: Any, group: str) -> None:
    """Waits until nothing waits for the group."""
    end = time.monotonic() + 300  # a broker that was killed may take long to know its groups
    with contextlib.closing(queues.opened(config, topics)) as queue:
        while queue.lags(topics.events).get(group, -1) != 0:
            assert time.monotonic() < end, f"still waiting: {queue.lags(topics.events)}"
            time.sleep(0.1)


def _rows(root: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
    """(hour, ids in the order of the shards' names), hour by hour."""
    for folder in sorted(root.glob("date=*/hour=*")):
        paths = sorted(folder.glob("*.parquet"))
        tables = [pq.read_table(path, partitioning=None)["id"].to_pylist() for path in paths]
        yield str(folder), list(itertools.chain(*tables))


def _check(found: Found, plan: Plan, root: pathlib.Path, begin: float) -> Found:
    wanted = {
        one.id for at in range(plan.producers) for one in _events(plan, at, begin)
    }  # fmt: skip
    counts: collections.Counter[str] = collections.Counter()
    for _, ids in _rows(root):
        found.landed += len(ids)
        fresh = [one for one in dict.fromkeys(ids) if one not in counts]
        counts.update(ids)
        latest: dict[str, int] = {}
        for one in fresh:
            user, _, number = one.partition("/")
            if int(number) < latest.get(user, -1):
                found.out_of_order += 1
            latest[user] = int(number)
    found.shards = len(list(root.glob("date=*/hour=*/*.parquet")))
    found.lost = len(wanted - set(counts))
    found.landed_twice = found.landed - len(counts)
    found.doubled = _kept(root) - len(wanted)
    return found


def _kept(root: pathlib.Path) -> int:
    """The events of the dataset that is made of the shards."""
    data = Data(
        "history", str(root), Parquet(), Columns(id="id"), min_user_events=1, min_item_events=1
    )
    manifest = artifact.read(dataset.build(data, root.parent / "w"), "dataset")
    return manifest.details["report"]["kept"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--kind", choices=["sqlite", "kafka"], default="sqlite")
    parser.add_argument("--broker-kills", type=int, default=0, help="of the kills, Kafka's broker")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        broker = Kafka(place) if given.kind == "kafka" else Sqlite(place)
        broker.start()
        try:
            plan = Plan(given.messages, given.kills, given.broker_kills, seed=given.seed)
            found = run(broker, plan, place, online.Lander(seconds=0.3))
        finally:
            broker.kill()
    print(json.dumps(dataclasses.asdict(found), indent=2))


if __name__ == "__main__":
    main()
