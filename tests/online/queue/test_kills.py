"""kill -9 of consumers and of brokers: nothing is lost (the fixture has scope="module")."""

import collections
import dataclasses
import os
import pathlib
import pickle
import subprocess
import sys
import threading
import time

import pytest

from podway.online.error import QueueError
from podway.online.queue import dead
from podway.online.queue.queue import Message
from tests.online.queue.test_contract import PATIENCE, begun, drain, in_order, numbered, values


def test_a_message_that_ends_processes_is_dead_in_the_end(broker, tmp_path):
    """And no message beside it is."""
    if not broker.counts:
        pytest.skip("it does not say which message was to blame, or not in time")
    topics = broker.topics(1)
    config = dataclasses.replace(broker.config, attempts=3)
    (tmp_path / "told").write_bytes(pickle.dumps((config, topics, 50)))
    command = [sys.executable, "-m", "tests.online.queue.eater", str(tmp_path / "told")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    messages = numbered(40)
    poison = Message("u0", b"poison")
    with broker.queue(topics, attempts=3) as queue:
        queue.consumer("eaters", topics.events).close()
        queue.producer().publish(topics.events, [*messages[:20], poison, *messages[20:]])
        ate, kills = [], 0
        end = time.monotonic() + 2 * PATIENCE
        while len(set(ate)) < 40:
            assert time.monotonic() < end, (kills, len(set(ate)))
            with subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
                cwd=pathlib.Path(__file__).parents[3],
            ) as process:
                try:
                    assert process.stdout is not None
                    for line in process.stdout:
                        if line.startswith("ate"):
                            ate.append(line.split(" ", 1)[1].strip())
                        if len(set(ate)) == 40:
                            break
                finally:
                    process.kill()
            kills += 1
        assert kills >= 4, "three attempts, and one that comes to the end"
        assert in_order(ate)
        undertaker = queue.consumer(dead.UNDERTAKER, topics.dead)
        (gone,) = drain(undertaker, 1)
        assert gone.value == b"poison"
        assert gone.headers[dead.REASON] == dead.ended(3)
        assert undertaker.poll(10, 1.0) == []


def test_a_broker_that_is_killed_under_load_loses_nothing(broker):
    if not broker.restarts:
        pytest.skip("it is no process of its own, or has all in memory")
    topics = broker.topics()
    keys, sent, found, stop = 20, [], [], threading.Event()
    refused: collections.Counter[str] = collections.Counter()
    with broker.queue(topics, publish_seconds=10) as queue:
        begun(queue, topics, "readers")
        producer = queue.producer()

        def publish() -> None:
            while not stop.is_set():
                batch = numbered(20, keys, len(sent))
                while True:
                    try:
                        producer.publish(topics.events, batch)
                        break
                    except QueueError as error:
                        refused[str(error)[:60]] += 1
                sent.extend(message.value.decode() for message in batch)
                time.sleep(0.02)

        thread = threading.Thread(target=publish)
        consumer = queue.consumer("readers", topics.events)

        def read(seconds: float) -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                batch = consumer.poll(100, 0.2)
                found.extend(values(batch))
                try:
                    consumer.commit(batch)
                except QueueError as error:
                    refused[str(error)[:60]] += 1

        thread.start()
        try:
            for _ in range(broker.kills):
                read(2)
                broker.kill()
                killing = threading.Thread(target=broker.start)
                killing.start()
                read(1)
                killing.join()
            read(2)
        finally:
            stop.set()
            thread.join(PATIENCE)
        end = time.monotonic() + PATIENCE
        while set(found) != set(sent):
            missing = len(set(sent) - set(found))
            assert time.monotonic() < end, f"{missing} of {len(sent)} are lost; {refused}"
            read(0.5)
        assert in_order(found)
        assert len(sent) > 200
        twice = len(found) - len(sent)
        print(
            f"{len(sent)} published, {broker.kills} kills of the broker: 0 lost, {twice} came"
            f" twice, {refused}"
        )
