"""What every queue keeps, whatever its kind (the fixture has scope="module")."""

import collections
import threading
import time

import pytest

from podway.framework.config.online import Topics
from podway.online.error import QueueError
from podway.online.queue import dead
from podway.online.queue.queue import Consumer, Message, Queue, Received

PATIENCE = 90.0


def numbered(count: int, keys: int = 1, first: int = 0) -> list[Message]:
    """Messages whose value says key and place."""
    return [
        Message(f"u{i % keys}", f"u{i % keys} {i:05}".encode()) for i in range(first, first + count)
    ]


def drain(consumer: Consumer, count: int, *, commit: bool = True) -> list[Received]:
    """So many messages, at least; fails if they do not come."""
    found: list[Received] = []
    end = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count} came"
        batch = consumer.poll(100, 0.5)
        found += batch
        if commit and batch:
            consumer.commit(batch)
    return found


def values(found: list[Received]) -> list[str]:
    return [message.value.decode() for message in found]


def begun(queue: Queue, topics: Topics, *groups: str) -> None:
    """Groups that have begun: not every queue keeps what no group waits for."""
    for group in groups:
        queue.consumer(group, topics.events).close()


def uncommitted(broker, count: int) -> list[Message]:
    """Messages of one partition, which all come before one of them is committed."""
    return numbered(count, 1 if broker.ahead else count)


def again(broker, found: list[Received], before: list[Received]) -> bool:
    """Whether the same messages came once more, in the same order where there is one."""
    names = [message.id for message in found], [message.id for message in before]
    return names[0] == names[1] if broker.ahead else sorted(names[0]) == sorted(names[1])


def in_order(found: list[str]) -> bool:
    """Whether each key's are in order, and none is missing, once what came twice is left out."""
    by_key = collections.defaultdict(list)
    for value in dict.fromkeys(found):
        by_key[value.split()[0]].append(value)
    return all(of == sorted(of) for of in by_key.values())


def test_all_arrive_whole_and_each_key_in_order(broker):
    topics = broker.topics()
    odd = Message("ü/ñ 1", bytes(range(256)), {"trace": "00-ab", "who": "ü"})
    with broker.queue(topics) as queue:
        begun(queue, topics, "readers")
        producer = queue.producer()
        for start in range(0, 300, 50):
            producer.publish(topics.events, numbered(50, 20, start))
        producer.publish(topics.events, [odd])
        producer.publish(topics.events, [])
        consumer = queue.consumer("readers", topics.events)
        before = time.time()
        found = drain(consumer, 301)
        assert len(found) == 301
        assert len({message.id for message in found}) == 301
        assert all(abs(message.published - before) < 60 for message in found)
        assert {message.attempt for message in found} == {1}
        (whole,) = [message for message in found if message.key == odd.key]
        assert (whole.value, whole.headers) == (odd.value, odd.headers)
        assert in_order(values([m for m in found if m is not whole]))
        partitions = collections.defaultdict(set)
        offsets = collections.defaultdict(list)
        for message in found:
            partitions[message.key].add(message.partition)
            offsets[message.partition].append(message.offset)
        assert all(len(of) == 1 for of in partitions.values())
        assert all(of == sorted(of) for of in offsets.values())
        assert consumer.poll(10, 0.2) == []
        assert consumer.lag() in (0, -1)
        consumer.close()
        producer.close()


def test_what_is_not_committed_comes_again(broker):
    topics = broker.topics(1)
    with broker.queue(topics) as queue:
        begun(queue, topics, "readers")
        queue.producer().publish(topics.events, uncommitted(broker, 30))
        first = queue.consumer("readers", topics.events)
        found = drain(first, 30, commit=False)
        first.commit(found[5:12])  # and with it what was before
        first.close()
        second = queue.consumer("readers", topics.events)
        rest = drain(second, 18)
        assert sorted(values(rest)) == sorted(values(found[12:]))
        assert again(broker, rest, found[12:])
        assert second.poll(10, 0.3) == []
        second.close()


def test_groups_do_not_see_each_other(broker):
    topics = broker.topics()
    with broker.queue(topics) as queue:
        one = queue.consumer("one", topics.events)
        two = queue.consumer("two", topics.events)
        assert one.poll(10, 0.5) == two.poll(10, 0.5) == []
        queue.producer().publish(topics.events, numbered(20, 5))
        assert sorted(values(drain(one, 20))) == sorted(values(drain(two, 20)))
        one.close()
        two.close()


def test_a_retry_keeps_the_order_and_comes_to_an_end(broker):
    topics = broker.topics()
    with broker.queue(topics, attempts=3) as queue:
        begun(queue, topics, "readers")
        queue.producer().publish(topics.events, numbered(6))
        consumer = queue.consumer("readers", topics.events)
        seen, done = [], []
        end = time.monotonic() + PATIENCE
        while ("u0 00002", 3) not in seen or len(set(done)) < 5:
            assert time.monotonic() < end, seen
            for message in consumer.poll(100, 0.5):
                text = message.value.decode()
                seen.append((text, message.attempt))
                if text.endswith("2"):
                    consumer.retry(message, "no number")
                else:
                    done.append(text)
                    consumer.commit([message])
        assert [attempt for text, attempt in seen if text.endswith("2")] == [1, 2, 3]
        assert list(dict.fromkeys(done)) == [f"u0 0000{i}" for i in (0, 1, 3, 4, 5)]
        assert consumer.poll(10, 0.5) == []
        (gone,) = drain(queue.consumer(dead.UNDERTAKER, topics.dead), 1)
        assert gone.value == b"u0 00002"
        assert gone.headers[dead.REASON] == "no number"
        assert gone.headers[dead.TOPIC] == topics.events
        assert gone.headers["podway-attempts"] == "3"
        consumer.close()


def test_a_commit_does_not_pass_what_is_to_come_again(broker):
    topics = broker.topics(1)
    with broker.queue(topics) as queue:
        begun(queue, topics, "readers")
        queue.producer().publish(topics.events, uncommitted(broker, 5))
        consumer = queue.consumer("readers", topics.events)
        found = drain(consumer, 5, commit=False)
        consumer.retry(found[1], "later")
        consumer.commit(found)
        consumer.close()
        second = queue.consumer("readers", topics.events)
        assert again(broker, drain(second, 4), found[1:])
        second.close()


def test_poison_goes_at_once_and_can_be_brought_back(broker):
    topics = broker.topics()
    with broker.queue(topics) as queue:
        begun(queue, topics, "readers")
        producer = queue.producer()
        producer.publish(topics.events, [Message("k", b"{", {"a": "b"}), *numbered(3, 3)])
        consumer = queue.consumer("readers", topics.events)
        for message in (found := drain(consumer, 4, commit=False)):
            if message.value == b"{":
                consumer.dead(message, "not JSON")
        consumer.commit([message for message in found if message.value != b"{"])
        undertaker = queue.consumer(dead.UNDERTAKER, topics.dead)
        (gone,) = drain(undertaker, 1, commit=False)
        with pytest.raises(QueueError, match="among the dead already"):
            undertaker.dead(gone, "again")
        topic, message = dead.revived(gone)
        assert (topic, message) == (topics.events, Message("k", b"{", {"a": "b"}))
        producer.publish(topic, [message])
        undertaker.commit([gone])
        assert [m.value for m in drain(consumer, 1)] == [b"{"]
        consumer.close()
        undertaker.close()


def test_members_join_and_leave(broker):
    topics = broker.topics()
    count, keys = 3000, 40
    with broker.queue(topics) as queue:
        begun(queue, topics, "readers")
        producer, seen, stop = queue.producer(), collections.defaultdict(list), threading.Event()
        lock = threading.Lock()

        def read(name: str, until: threading.Event) -> None:
            consumer = queue.consumer("readers", topics.events)
            while not until.is_set():
                batch = consumer.poll(20, 0.2)
                with lock:
                    seen[name] += values(batch)
                consumer.commit(batch)
            consumer.close()

        def enough(condition) -> None:
            end = time.monotonic() + PATIENCE
            while not condition():
                assert time.monotonic() < end, {name: len(of) for name, of in seen.items()}
                time.sleep(0.05)

        leave = threading.Event()
        one = threading.Thread(target=read, args=("one", stop))
        two = threading.Thread(target=read, args=("two", leave))
        one.start()
        sent = 0

        def send(n: int) -> None:
            nonlocal sent
            producer.publish(topics.events, numbered(n, keys, sent))
            sent += n

        try:
            send(200)
            enough(lambda: len(seen["one"]) >= 200)
            two.start()
            while not seen["two"]:
                send(20)
                time.sleep(0.05)
                assert sent < 10 * count, "nobody gave a partition to the second member"
            send(200)
            leave.set()
            two.join(PATIENCE)
            before = len(seen["one"])
            send(200)
            enough(lambda: len({v for of in seen.values() for v in of}) == sent)
            assert len(seen["one"]) > before
        finally:
            stop.set()
            leave.set()
            one.join(PATIENCE)
        assert in_order(seen["one"])
        assert in_order(seen["two"])


def test_a_group_is_rewound(broker):
    topics = broker.topics()
    with broker.queue(topics) as queue:
        begun(queue, topics, "readers")
        producer = queue.producer()
        producer.publish(topics.events, numbered(10, 4))
        consumer = queue.consumer("readers", topics.events)
        drain(consumer, 10)
        if not broker.rewinds:
            with pytest.raises(QueueError, match="rewind"):
                queue.rewind("readers", topics.events, 0.0)
            assert not queue.forgets or "; give queue.keep_hours, so that" in queue.forgets
            return
        if broker.members:
            with pytest.raises(QueueError, match="members"):
                queue.rewind("readers", topics.events, 0.0)
        consumer.close()
        time.sleep(0.05)
        middle = time.time()
        producer.publish(topics.events, numbered(10, 4, 10))
        for moment, count in ((middle, 10), (0.0, 20), (time.time() + 60, 0)):
            queue.rewind("readers", topics.events, moment)
            consumer = queue.consumer("readers", topics.events)
            assert len(drain(consumer, count)) == count
            assert consumer.poll(10, 0.5) == []
            consumer.close()


def test_a_group_is_rewound_to_offsets(broker):
    topics = broker.topics()
    with broker.queue(topics) as queue:
        begun(queue, topics, "readers")
        queue.producer().publish(topics.events, numbered(24, 6))
        consumer = queue.consumer("readers", topics.events)
        found = drain(consumer, 24)
        consumer.close()
        if not broker.rewinds or not queue.offsets:
            with pytest.raises(QueueError, match=r"offsets|rewind"):
                queue.rewind("readers", topics.events, {0: 0})
            return
        read = {
            partition: sorted(each.offset for each in found if each.partition == partition)
            for partition in {each.partition for each in found}
        }
        chosen = {index: offsets[len(offsets) // 2] for index, offsets in read.items()}
        left_out = max(chosen)
        begin = {index: offset for index, offset in chosen.items() if index != left_out}
        queue.rewind("readers", topics.events, begin)
        wanted = {
            (each.partition, each.offset)
            for each in found
            if each.partition in begin and each.offset >= begin[each.partition]
        }
        consumer = queue.consumer("readers", topics.events)
        again = drain(consumer, len(wanted)) if wanted else []
        assert {(each.partition, each.offset) for each in again} == wanted
        assert consumer.poll(10, 0.5) == []
        consumer.close()
        with pytest.raises(QueueError, match="no offset 999 to begin at; give"):
            queue.rewind("readers", topics.events, {left_out: 999})
        with pytest.raises(QueueError, match="no partition 77"):
            queue.rewind("readers", topics.events, {77: 0})


def test_a_group_that_begins_later_is_given_what_others_have_done(broker):
    """Unless the queue forgets."""
    topics = broker.topics()
    with broker.queue(topics) as queue:
        begun(queue, topics, "readers")
        queue.producer().publish(topics.events, numbered(10, 4))
        consumer = queue.consumer("readers", topics.events)
        found = drain(consumer, 10)
        later = queue.consumer("later", topics.events)
        if broker.keeps:
            assert queue.forgets == ""
            assert sorted(values(drain(later, 10))) == sorted(values(found))
        else:
            assert later.poll(10, 1.0) == []
        consumer.close()
        later.close()


def test_a_group_begins_where_it_says(broker):
    topics = broker.topics()
    with broker.queue(topics) as queue:
        begun(queue, topics, "others")
        producer = queue.producer()
        producer.publish(topics.events, numbered(5))
        consumer = queue.consumer("late", topics.events, "latest")
        if broker.rewinds:
            assert consumer.poll(10, 1.0) == []
            producer.publish(topics.events, numbered(5, 1, 5))
            assert values(drain(consumer, 5)) == [f"u0 0000{i}" for i in range(5, 10)]
        assert queue.lags(topics.events).get("late", -1) in (0, -1)
        consumer.close()
        with pytest.raises(QueueError, match="earliest or latest"):
            queue.consumer("late", topics.events, "middle")


def test_a_topic_that_is_not_there_is_named(broker):
    with broker.queue(broker.topics()) as queue:
        with pytest.raises(QueueError, match="no-such-topic"):
            queue.producer().publish("no-such-topic", numbered(1), timeout=2)
        with pytest.raises(QueueError, match="no-such-topic"):
            queue.consumer("readers", "no-such-topic").poll(1, 5)
