"""Events that clients send to the gateway: what is taken, what is refused, that none is lost."""

import json
import sqlite3
import threading
import time
import urllib.request
import uuid

import grpc
import pytest

from podway.framework.config.online import Gateway, Intake, Online, SqliteQueue, SqliteStore, Topics
from podway.framework.error import ConfigError
from podway.online.gateway.door import messages
from podway.online.gateway.publisher import Publisher
from podway.online.queue import open as queues
from podway.online.queue.queue import Message
from tests.online.gateway.gateways import running, wait_for


def click(number: int, **changed):
    event = {"id": f"e{number}", "type": "click", "version": 1, "user": "u1", "item": f"i{number}"}
    return {**event, "time": 1_700_000_000.5, **changed}


def online(folder, **intake) -> Online:
    return Online(
        queue=SqliteQueue(path=str(folder / "queue.sqlite")),
        store=SqliteStore(path=str(folder / "store.sqlite")),
        gateway=Gateway(
            server="127.0.0.1:1", always=("i0",), log_share=0.0, intake=Intake(**intake)
        ),
    )


def post(client, body, path="/v1/events"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.open(urllib.request.Request(f"{client.url}{path}", data))


def queued(folder, count):
    """The clicks in the queue, once there are as many."""
    queue = queues.opened(SqliteQueue(path=str(folder / "queue.sqlite")), Topics())
    consumer = queue.consumer(uuid.uuid4().hex, "events")
    found = []

    def all_of_them():
        new = [(each.key, json.loads(each.value)) for each in consumer.poll(1000, 0.1)]
        found.extend(each for each in new if each[1]["type"] == "click")
        return len(found) >= count

    wait_for(all_of_them, 20)
    consumer.close()
    return found


def test_what_is_accepted_is_in_the_queue_when_the_client_is_told(tmp_path):
    with running(online(tmp_path), tmp_path) as client:
        status, answer, _ = post(client, click(1, spoken="ü", position=3))
        assert (status, answer) == (200, {"accepted": 1, "refused": []})
        assert queued(tmp_path, 1) == [("u1", click(1, spoken="ü", position=3))], (
            "unknown fields too"
        )
        status, answer, _ = post(client, [click(n) for n in range(2, 400)])
        assert (status, answer["accepted"]) == (200, 398)
    assert [event["id"] for _, event in queued(tmp_path, 399)] == [f"e{n}" for n in range(1, 400)]


def test_each_event_that_is_refused_is_named_and_the_others_are_taken(tmp_path):
    with running(online(tmp_path), tmp_path) as client:
        wrong = [
            click(1),
            click(2, item=""),
            {"type": "click"},
            7,
            click(3, type="impression", items=["i1"]),
            click(4, position=-1),
            click(5, time=float("nan")),
            click(6),
        ]
        status, answer, _ = post(client, wrong)
        assert (status, answer["accepted"]) == (200, 2)
        assert [(each["at"], each["id"]) for each in answer["refused"]] == [
            *((1, "e2"), (2, ""), (3, ""), (4, "e3"), (5, "e4"), (6, "e5"))
        ]
        reasons = ['item is ""', "version is missing", "it is a JSON int", "clients send click"]
        reasons += ["0 or more", "NaN is no number"]
        for said, each in zip(reasons, answer["refused"], strict=True):
            assert said in each["why"]
        status, answer, _ = post(client, click(7, item=""))
        assert (status, answer["accepted"]) == (400, 0)
        assert 'no event is taken; the first: item is ""' in answer["error"]
        for body, said in ((b"x", "no JSON object"), (b"[1", "no JSON"), ([], "send 1 to 500")):
            status, answer, _ = post(client, body)
            assert status == 400
            assert said in answer["error"]
        assert client.counted("events_total", outcome="accepted") == 2
        assert client.counted("events_total", outcome="refused") == 7
    assert [event["id"] for _, event in queued(tmp_path, 2)] == ["e1", "e6"]


def test_grpc_takes_them_too(tmp_path):
    with (
        running(online(tmp_path), tmp_path) as client,
        grpc.insecure_channel(f"127.0.0.1:{client.running.grpc_port}") as channel,
    ):
        collect = channel.unary_unary(
            f"/{messages.COLLECTOR}/{messages.COLLECT}",
            request_serializer=messages.CollectRequest.SerializeToString,
            response_deserializer=messages.CollectResponse.FromString,
        )
        sent = [json.dumps(click(1)), json.dumps(click(2, user=""))]
        found = collect(messages.CollectRequest(events=sent), timeout=20)
        assert (found.accepted, [each.id for each in found.refused]) == (1, ["e2"])
        with pytest.raises(grpc.RpcError) as error:
            collect(messages.CollectRequest(), timeout=20)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT  # type: ignore
    assert [event["id"] for _, event in queued(tmp_path, 1)] == ["e1"]


def test_while_the_queue_is_locked_clients_keep_their_events(tmp_path):
    config = online(tmp_path, buffer=5, most=3, seconds=1.5)
    with running(config, tmp_path) as client:
        wait_for(lambda: post(client, [click(1)])[0] == 200)
        with sqlite3.connect(tmp_path / "queue.sqlite", isolation_level=None) as lock:
            lock.execute("BEGIN IMMEDIATE")
            status, answer, headers = post(client, [click(n) for n in (2, 3, 4)])
            assert (status, headers["Retry-After"]) == (503, "1")
            assert "send them again, with the same ids" in answer["error"]
            status, answer, _ = post(client, [click(n) for n in (5, 6, 7)])
            assert (status, "there is no room for 3 more" in answer["error"]) == (503, True)
            assert client.ask("u1")["items"], "who asks for recommendations does not notice"
            lock.execute("COMMIT")
        wait_for(lambda: post(client, [click(n) for n in (5, 6, 7)])[0] == 200)
        assert client.counted("events_total", outcome="full") >= 3
    found = [event["id"] for _, event in queued(tmp_path, 7)]
    assert sorted(set(found)) == [f"e{n}" for n in range(1, 8)], "those in the buffer came, too"


def test_taken_is_said_at_once_and_a_door_that_is_closed_is_none(tmp_path):
    with running(online(tmp_path, acknowledge="taken"), tmp_path) as client:
        assert post(client, click(1))[0] == 200
    assert [event["id"] for _, event in queued(tmp_path, 1)] == ["e1"], "published at the end"
    with running(online(tmp_path, open=False), tmp_path) as client:
        assert post(client, click(2))[0] == 404


def test_types_that_there_are_none_of_are_no_config(tmp_path):
    with pytest.raises(ConfigError, match=r"online\.gateway\.intake\.types has 'view'"):
        online(tmp_path, types=("view",))
    with pytest.raises(ConfigError, match=r"gateway\.intake\.most is 9, and the buffer of 5"):
        Intake(most=9, buffer=5)


def test_what_cannot_be_written_does_not_hold_up_what_comes_after_it():
    found, ended = [], threading.Event()

    class Producer:
        def publish(self, topic, messages, timeout=10.0):
            found.extend(each.value for each in messages)
            ended.set()

        def close(self):
            pass

    def made(entry):
        if entry == "bad":
            raise TypeError("half of a character")
        return [Message("k", entry.encode())]

    counted = []
    publisher = Publisher(
        Producer, "t", 3, made, count=lambda outcome, n: counted.append((outcome, n))
    )
    assert publisher.put(["bad", "good"])
    assert not publisher.put(["a", "b"]), "all or none"
    assert ended.wait(10)
    end = time.monotonic() + 10
    while publisher.waiting and time.monotonic() < end:
        time.sleep(0.01)
    publisher.close(1.0)
    assert found == [b"good"]
    assert counted == [("dropped", 2), ("dropped", 1), ("published", 1)]
