"""What the embedded queue does beside the contract."""

import dataclasses
import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from podway.framework.config import online
from podway.framework.error import ConfigError
from podway.online.error import QueueError
from podway.online.queue import open as queues
from podway.online.queue.queue import Message
from podway.online.queue.sqlite_file import File
from podway.online.queue.sqlite_members import share
from tests.online.queue.test_contract import drain, in_order, numbered, values

TOPICS = online.Topics()


@pytest.fixture
def config(tmp_path):
    return online.SqliteQueue(path=str(tmp_path / "queue.sqlite"), retry_seconds=0.01)


def test_a_full_topic_makes_publish_wait_and_then_fail(config):
    queue = queues.opened(dataclasses.replace(config, most_waiting=100), TOPICS)
    producer = queue.producer()
    producer.publish(TOPICS.events, numbered(150))  # whatever its size: it is empty
    with pytest.raises(QueueError, match=r"150 messages wait for a first.*waiting is 100"):
        producer.publish(TOPICS.events, numbered(1), timeout=0.1)
    consumer = queue.consumer("slow", TOPICS.events)
    consumer.poll(1, 1)
    with pytest.raises(QueueError, match="wait for group 'slow'"):
        producer.publish(TOPICS.events, numbered(1), timeout=0.1)
    late = threading.Timer(0.3, lambda: drain(consumer, 149))
    late.start()
    start = time.monotonic()
    producer.publish(TOPICS.events, numbered(1, first=150), timeout=30)
    assert time.monotonic() - start > 0.2
    late.join()
    producer.publish(TOPICS.dead, numbered(200))  # the dead have no bound
    queue.close()


def test_many_processes_publish_at_once(config):
    code = (
        "import sys, dataclasses\n"
        "from podway.framework.config import online\n"
        "from podway.online.queue import open as queues\n"
        "from podway.online.queue.queue import Message\n"
        "queue = queues.opened(online.SqliteQueue(path=sys.argv[1]), online.Topics())\n"
        "producer = queue.producer()\n"
        "for i in range(100):\n"
        "    text = f'{sys.argv[2]} {i:05}'\n"
        "    producer.publish('events', [Message(sys.argv[2], text.encode())])\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    started = [
        subprocess.Popen([sys.executable, "-c", code, config.path, f"u{i}"], env=environment)
        for i in range(4)
    ]
    assert [process.wait(120) for process in started] == [0] * 4
    queue = queues.opened(config, TOPICS)
    found = values(drain(queue.consumer("readers", TOPICS.events), 400))
    assert len(set(found)) == len(found) == 400
    assert in_order(found)


def test_who_hangs_loses_its_partitions_and_can_no_longer_commit(config):
    queue = queues.opened(dataclasses.replace(config, lease_seconds=0.5), TOPICS)
    queue.producer().publish(TOPICS.events, numbered(10))
    hung = queue.consumer("readers", TOPICS.events)
    found = drain(hung, 10, commit=False)
    time.sleep(0.8)
    other = queue.consumer("readers", TOPICS.events)
    assert [m.attempt for m in other.poll(100, 5)] == [2], "one, since the first ended in its midst"
    hung.commit(found)
    assert queue.lags(TOPICS.events) == {"readers": 10}, "its commit is of no one's partition"
    other.close()


def test_what_all_have_read_is_dropped_and_nothing_else(config, monkeypatch):
    monkeypatch.setattr("podway.online.queue.sqlite._SWEEP", -1.0)
    queue = queues.opened(dataclasses.replace(config, keep_hours=1e-9), TOPICS)
    one, two = (queue.consumer(name, TOPICS.events) for name in ("one", "two"))
    producer = queue.producer()
    producer.publish(TOPICS.events, numbered(10))
    drain(one, 10)
    two.commit(two.poll(4, 5))
    producer.publish(TOPICS.events, numbered(1, first=10))
    kept = sqlite3.connect(config.path).execute("SELECT COUNT(*) FROM message").fetchone()
    assert kept == (7,)
    assert len(drain(two, 7)) == 7


def test_a_commit_that_failed_is_made_up_for(config, monkeypatch):
    """What is committed in memory and not in the file must not be taken for done."""
    queue = queues.opened(config, TOPICS)
    queue.producer().publish(TOPICS.events, numbered(5))
    consumer = queue.consumer("readers", TOPICS.events)
    found = drain(consumer, 5, commit=False)
    with monkeypatch.context() as away:
        away.setattr(File, "run", lambda *_: (_ for _ in ()).throw(QueueError("disk full")))
        with pytest.raises(QueueError, match="disk full"):
            consumer.commit(found)
    assert queue.lags(TOPICS.events) == {"readers": 5}
    consumer.commit(found)
    assert queue.lags(TOPICS.events) == {"readers": 0}


@pytest.mark.parametrize(
    ("content", "said"), [(b"no database" * 100, "not a database"), (None, "version 9")]
)
def test_a_file_that_is_no_queue_is_named(tmp_path, content, said):
    path = tmp_path / "q"
    if content:
        path.write_bytes(content)
    else:
        sqlite3.connect(path).execute("PRAGMA user_version = 9")
    with pytest.raises(QueueError, match=f"{path}.*{said}.*queue.path"):
        queues.opened(online.SqliteQueue(path=str(path)), TOPICS)


def test_where_it_is_is_said(tmp_path):
    with pytest.raises(QueueError, match=r"queue\.path is empty and the workdir is gs://b/w"):
        queues.opened(online.SqliteQueue(), TOPICS, "gs://b/w")
    queues.opened(online.SqliteQueue(), TOPICS, str(tmp_path / "online" / "m")).close()
    assert (tmp_path / "online" / "m" / "queue.sqlite").exists()
    with pytest.raises(QueueError, match="choose one of SqliteQueue, KafkaQueue"):
        queues.opened(online.Queue(), TOPICS)


@pytest.mark.parametrize("members", [1, 2, 3, 5])
@pytest.mark.parametrize("partitions", [1, 4, 7])
def test_partitions_are_spread_evenly_and_come_to_rest(members, partitions):
    names = [f"m{i}" for i in range(members)]
    owners = dict.fromkeys(range(partitions), "gone")
    for _ in range(20):
        for name in names:
            take, give = share(name, names, owners)
            owners |= dict.fromkeys(take, name) | dict.fromkeys(give, None)
    before = dict(owners)
    for name in names:
        assert share(name, names, owners) == (set(), set())
    counts = [list(owners.values()).count(name) for name in names]
    assert sum(counts) == partitions
    assert max(counts) - min(counts) <= 1
    assert owners == before


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: online.SqliteQueue(path="gs://b/q"), "a file on this machine"),
        (lambda: online.SqliteQueue(lease_seconds=0), "lease_seconds is 0"),
        (lambda: online.SqliteQueue(lease_seconds=float("nan")), "lease_seconds is nan"),
        (lambda: online.SqliteQueue(attempts=0), "attempts is 0; give 1 to 100"),
        (lambda: online.Queue(publish_seconds=float("nan")), "publish_seconds is nan"),
        (lambda: online.KafkaQueue(session_seconds=1), "give 6"),
        (lambda: online.KafkaQueue(replication=-1), "replication is -1"),
        (lambda: online.PubsubQueue(ack_seconds=5), "give 10 to 600"),
        (lambda: online.PubsubQueue(keep_hours=1000), "give 1/6 to 744"),
        (lambda: online.RabbitmqQueue(prefetch=70_000), "less than 65536"),
        (lambda: online.Topics(partitions=0), "partitions is 0"),
        (lambda: online.Topics(dead="events"), "give two"),
        (lambda: online.Topics(events="a b c"), "a letter first"),
    ],
)
def test_a_config_that_cannot_be_is_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (online.KafkaQueue(), r"queue\.servers is empty"),
        (online.KafkaQueue(servers="x", settings_file="/no/such"), "settings_file /no/such"),
        (online.PubsubQueue(), r"queue\.project is empty"),
        (online.RabbitmqQueue(), r"queue\.url is empty"),
        (online.RabbitmqQueue(url_env="NO_SUCH_NAME"), "the environment has no NO_SUCH_NAME"),
    ],
)
def test_what_a_kind_needs_is_asked_for(config, said):
    with pytest.raises(QueueError, match=said):
        queues.opened(config, TOPICS)


def test_settings_of_kafka(tmp_path):
    from podway.online.queue.kafka import settings

    file = tmp_path / "kafka.properties"
    file.write_text("# ours\nsecurity.protocol = SSL\n\nsasl.password=a=b\n")
    assert settings(str(file)) == {"security.protocol": "SSL", "sasl.password": "a=b"}
    file.write_text("x=1\nsecurity.protocol SSL\n")
    with pytest.raises(QueueError, match="line 2 is no NAME=VALUE"):
        settings(str(file))


def test_nobody_is_there():
    config = online.KafkaQueue(servers="127.0.0.1:1", publish_seconds=1)
    with pytest.raises(QueueError, match=r"Kafka at 127\.0\.0\.1:1.*queue\.servers"):
        queues.opened(config, TOPICS)
    rabbit = online.RabbitmqQueue(url="amqp://127.0.0.1:1/", publish_seconds=0.5)
    with pytest.raises(QueueError, match=r"queue\.url is its address"):
        queues.opened(rabbit, TOPICS)


def test_a_message_of_a_key_that_is_empty_has_an_order_too(config):
    queue = queues.opened(config, TOPICS)
    queue.producer().publish(TOPICS.events, [Message("", b"1"), Message("", b"2")])
    assert [m.value for m in drain(queue.consumer("r", TOPICS.events), 2)] == [b"1", b"2"]
