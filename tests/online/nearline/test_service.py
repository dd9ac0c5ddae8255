"""The service on a real queue and a real store: quick, killed at random, replayed."""

import contextlib
import json
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.registry import CollectorRegistry

from podway.framework import codec
from podway.framework.config import online as config
from podway.online.error import OnlineError, StoreError
from podway.online.events.event import Event, encode
from podway.online.nearline import lists, run
from podway.online.queue import open as queues
from podway.online.queue.queue import Message
from podway.online.queue.sqlite import SqliteLog
from podway.online.service import page
from podway.online.store import history as histories
from podway.online.store import open as stores
from podway.online.store.store import HISTORY, STATE, Store
from tests.online.nearline import test_apply
from tests.online.nearline.doubles import START, events

ROOT = pathlib.Path(__file__).parents[3]
PATIENCE = 60.0


def chosen(**changes) -> config.Online:
    nearline = config.Nearline(
        types=("play", "click"),
        weights=test_apply.NEARLINE.weights,
        half_life_hours=100_000.0,  # these events are years old
        history=1000,
        ahead_seconds=1e9,
        lists_seconds=0.2,
        slots=2,
        **changes,
    )
    return config.Online(queue=config.SqliteQueue(durable=False), nearline=nearline)


def publish(producer, given: list[Event]) -> None:
    producer.publish("events", [Message(event.user, encode(event)) for event in given])


@contextlib.contextmanager
def opened(online: config.Online, workdir: pathlib.Path) -> Iterator[tuple]:
    """A producer, and the store."""
    folder = str(workdir / "online/shop")
    with (
        contextlib.closing(queues.opened(online.queue, online.topics, folder)) as queue,
        contextlib.closing(queue.producer()) as producer,
        stores.opened(online.store, workdir, "shop") as store,
    ):
        yield producer, store


def wait(condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def known(store: Store, users: set[str]) -> int:
    values = store.read(HISTORY, sorted(users))
    return sum(len(histories.unpack(value.content)) for value in values if value)


@contextlib.contextmanager
def serving(options: run.Options, registry: CollectorRegistry) -> Iterator[list]:
    """In a thread; gives a list that has the service, once there is one."""
    found: list = []
    failed: list = []
    stop = threading.Event()

    def work() -> None:
        try:
            run.run(options, stop, registry, found.append)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not failed
    assert not thread.is_alive()


@pytest.mark.slow
def test_killed_at_random_each_event_counts_once(tmp_path):
    """Two of the group, one of which is killed again and again while events come."""
    chance = random.Random(5)
    given = events(chance, 1500, users=40)
    online = chosen(batch=20)
    command = [sys.executable, "-m", "tests.online.nearline.server"]
    command += [json.dumps(codec.to_json(online)), str(tmp_path)]

    def begin() -> subprocess.Popen:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    with opened(online, tmp_path) as (producer, store):
        victim, other = begin(), begin()
        try:
            kills = 0
            for start in range(0, len(given), 100):
                publish(producer, given[start : start + 100])
                if start % 300 == 0:
                    time.sleep(chance.random() * 0.3)
                    victim.kill()
                    victim.wait()
                    victim, kills = begin(), kills + 1
            publish(producer, given[:200])  # whoever sent them does not know that they arrived
            assert kills == 5
            users = {event.user for event in given}
            wait(lambda: known(store, users) == len(given))
            victim.send_signal(signal.SIGTERM)
            other.send_signal(signal.SIGTERM)
            assert victim.wait(PATIENCE) == other.wait(PATIENCE) == 0
        finally:
            for process in (victim, other):
                process.kill()
                process.wait()
        test_apply.check(store, given, online.nearline)


def test_an_event_is_seen_within_a_second(tmp_path):
    """From before it is published until a reader of the store sees it."""
    online = chosen()
    registry = CollectorRegistry()
    seconds = []
    with (
        opened(online, tmp_path) as (producer, store),
        serving(run.Options(online, "shop", str(tmp_path)), registry) as found,
    ):
        wait(lambda: found and found[0].problem() == page.READY)
        for at in range(60):
            start = time.monotonic()
            publish(producer, [Event("play", "u", f"i{at}", START + at)])
            wait(lambda want=at + 1: known(store, {"u"}) == want)
            seconds.append(time.monotonic() - start)
    count = registry.get_sample_value
    assert count("podway_nearline_events_total", {"outcome": "new"}) == 60
    assert (count("podway_nearline_seconds_bucket", {"le": "1.0"}) or 0) >= 57
    assert sorted(seconds)[int(0.95 * len(seconds))] < 1.0


def test_replayed_as_another_group_nothing_changes(tmp_path):
    chance = random.Random(6)
    given = events(chance, 300)
    online = chosen()

    def drain(**more) -> float:
        registry = CollectorRegistry()
        options = run.Options(online, "shop", str(tmp_path), drain=True, **more)
        run.run(options, threading.Event(), registry)
        sample = registry.get_sample_value
        return sample("podway_nearline_events_total", {"outcome": "new"}) or 0.0

    with opened(online, tmp_path) as (producer, store):
        publish(producer, given[:150])
        time.sleep(0.05)
        middle = time.time()
        publish(producer, given[150:])
        assert drain() == 300
        test_apply.check(store, given, online.nearline)
        assert drain(replay="again") == 0
        test_apply.check(store, given, online.nearline)
        # A store that lost everything is filled again, or from a time on.
        for kind, keys in ((HISTORY, [f"u{at}" for at in range(5)]), (STATE, _counts(online))):
            store.delete(kind, keys)
        assert drain(replay="since", since=middle) == 150
        test_apply.check(store, given[150:], online.nearline)
        assert drain(replay="all") == 150
        test_apply.check(store, given, online.nearline)
        with pytest.raises(Exception, match=r"--replay is 'nearline', the group of the service"):
            drain(replay="nearline")


def test_a_queue_that_forgets_is_not_replayed(tmp_path, monkeypatch):
    monkeypatch.setattr(SqliteLog, "forgets", "it keeps nothing; use another")
    options = run.Options(chosen(), "shop", str(tmp_path), replay="again", drain=True)
    with pytest.raises(OnlineError, match=r"--replay again finds nothing: it keeps nothing; use"):
        run.run(options, threading.Event(), CollectorRegistry())


def _counts(online: config.Online) -> list[str]:
    names = ("", "a", "b")
    return [lists.key(slot, name) for slot in range(online.nearline.slots) for name in names]


class Away:
    """A store that does not answer for a while."""

    def __init__(self, store: Store):
        self.store, self.away = store, False

    def __getattr__(self, name: str):
        if self.away:
            raise StoreError("the store is away")
        return getattr(self.store, name)


def test_a_store_that_is_away_is_waited_for(tmp_path, monkeypatch):
    online = chosen()
    away: list[Away] = []
    real = stores.open_store

    def instead(*arguments):
        away.append(Away(real(*arguments)))
        return away[-1]

    with opened(online, tmp_path) as (producer, store):
        monkeypatch.setattr(stores, "open_store", instead)
        registry = CollectorRegistry()
        with serving(run.Options(online, "shop", str(tmp_path)), registry) as found:
            wait(lambda: found and found[0].problem() == page.READY)
            away[0].away = True
            publish(producer, [Event("play", "u", "i", START)])
            wait(lambda: found[0].problem() == "the store is away")
            with page.page("127.0.0.1", 0, registry, found[0].problem) as port:
                with pytest.raises(urllib.error.HTTPError, match=r"503"):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz")
                away[0].away = False
                wait(lambda: known(store, {"u"}) == 1)
                wait(lambda: found[0].problem() == page.READY)

                def metrics() -> str:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                        return answer.read().decode()

                # Counted behind the write that made it known.
                wait(lambda: 'podway_nearline_events_total{outcome="new"} 1.0' in metrics())
                assert "podway_nearline_failures_total" in metrics()
