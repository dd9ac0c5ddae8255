"""The service before a model server, a store and a queue that are there."""

import json
import urllib.parse

import grpc
import pytest

from podway.framework.config import Rollout
from podway.framework.config.online import (
    Access,
    Arm,
    Budget,
    Column,
    Gateway,
    Guard,
    Online,
    Ranker,
    Rules,
    SqliteQueue,
    SqliteStore,
    Topics,
    Trial,
)
from podway.online.gateway.door import messages
from podway.online.queue import open as queues
from podway.online.rollout import state
from podway.online.rollout import store as rollouts
from podway.online.store import history as histories
from podway.online.store.store import SHOWN
from tests.online.gateway.gateways import backend, fill, free_port, running, store_of, wait_for

BUDGET = Budget(seconds=5.0)
"""A machine that is busy is no reason to fall back."""


@pytest.fixture(scope="module")
def server():
    port = free_port()
    with backend(port):
        yield f"127.0.0.1:{port}"


def online(server, folder, **fields) -> Online:
    return Online(
        queue=SqliteQueue(path=str(folder / "queue.sqlite")),
        store=SqliteStore(path=str(folder / "store.sqlite")),
        gateway=Gateway(server=server, **{"budget": BUDGET, "k": 5, "log_share": 0.0, **fields}),
    )


@pytest.fixture
def world(server, tmp_path):
    """Starts gateways of a store with users u0 to u3."""
    users = {"u0": ["i1", "i2"], "u1": ["x"], "nan": ["nan"], "bad": ["bad"], "slow": ["slow"]}
    lists = {"popular": [("i30", 9.0), ("i31", 8.0), ("i1", 7.0)], "popular__de": [("i40", 3.0)]}

    def start(**fields):
        config = online(server, tmp_path, **fields)
        store = store_of(config, tmp_path)
        fill(store, users, **lists)
        store.close()
        return running(config, tmp_path)

    return start


def items(answer):
    return [each["item"] for each in answer["items"]]


def events(folder):
    config = SqliteQueue(path=str(folder / "queue.sqlite"))
    consumer = queues.opened(config, Topics()).consumer("test", "events")
    found = []
    wait_for(lambda: found.extend(consumer.poll(100, 0.1)) or found, 10)
    while more := consumer.poll(100, 0.5):
        found += more
    return [json.loads(each.value) for each in found]


def test_a_user_gets_the_models_answer_with_attributes_and_reasons(world):
    with world() as client:
        answer = client.ask("u0")
        assert items(answer) == ["i0", "i3", "i4", "i5", "i6"]
        assert answer["source"] == "model"
        assert answer["model"] == {"name": "m", "version": 1, "arm": "stable"}
        assert answer["items"][1] == {
            "item": "i3",
            "score": 47.0,
            "reason": "retrieved",
            "attributes": {"title": "Title 3", "kind": "k3"},
        }
        assert answer["missing"] == {}
        again = client.ask("u0", request_id="mine")
        assert (again["source"], again["request_id"]) == ("cache", "mine")
        assert items(again) == items(answer)


def test_the_items_of_the_session_and_those_excluded_do_not_come(world):
    with world() as client:
        assert items(client.ask("u0", items=["i2", "i0"], exclude=["i4"], k=3)) == [
            "i3",
            "i5",
            "i6",
        ]


def test_get_says_the_same(world):
    with world() as client:
        query = urllib.parse.urlencode([("user", "u0"), ("items", "i0"), ("items", "i3"), ("k", 2)])
        status, answer, _ = client.get(query)
        assert (status, items(answer)) == (200, ["i4", "i5"])


def test_a_history_that_changes_changes_the_next_answer(world, tmp_path, server):
    """The cache must not hide what a user has just done."""
    with world(cache_seconds=1000.0) as client:
        assert items(client.ask("u0"))[0] == "i0"
        store = store_of(online(server, tmp_path), tmp_path)
        fill(store, {"u0": ["i1", "i2", "i0"]})
        store.close()
        answer = client.ask("u0")
        assert (answer["source"], items(answer)[0]) == ("model", "i3")


def test_cold_users_get_what_is_popular_in_their_segment_and_then_everywhere(world):
    with world() as client:
        answer = client.ask("nobody", segment="de")
        assert items(answer) == ["i40", "i30", "i31", "i1"]
        assert [each["reason"] for each in answer["items"]] == ["segment"] + ["popular"] * 3
        assert answer["source"] == "segment"
        assert answer["items"][0]["attributes"]["title"] == "Title 40"
        assert client.ask("nobody", segment="fr")["source"] == "popular"
        assert client.ask("")["source"] == "popular"
        assert client.ask("nobody", items=["i0"])["source"] == "model", "a session is something"


def test_cold_users_may_be_the_models_too(world):
    with world(cold="model") as client:
        assert client.ask("nobody")["source"] == "model"


def test_scores_that_are_no_numbers_are_no_answer(world):
    with world() as client:
        answer = client.ask("nan")
        assert items(answer) == ["i30", "i31", "i1"]


@pytest.mark.parametrize(("user", "code"), [("bad", "UNAVAILABLE"), ("slow", "DEADLINE_EXCEEDED")])
def test_where_the_model_fails_a_user_something_stands_in(world, user, code):
    with world(budget=Budget(seconds=0.8, retrieve=0.5)) as client:
        answer = client.ask(user)
        assert (answer["source"], answer["missing"]) == ("popular", {"retrieve": code})
        assert client.counted("missing_total", hop="retrieve", code=code) == 1


def test_the_ranker_orders_and_its_failure_leaves_the_order(world, server):
    columns = (Column("item", "item"), Column("kind", "item.kind"), Column("user", "user"))
    ranker = Ranker(model="r", columns=columns, candidates=10)
    with world(ranker=ranker) as client:
        answer = client.ask("u1")
        assert items(answer) == ["i9", "i8", "i7", "i6", "i5"]
        assert answer["items"][0]["reason"] == "ranked"
    gone = Ranker(model="r", columns=columns, server=f"127.0.0.1:{free_port()}")
    with world(ranker=gone) as client:
        answer = client.ask("u1")
        assert items(answer) == ["i0", "i1", "i2", "i3", "i4"]
        assert answer["missing"] == {"rank": "UNAVAILABLE"}


def test_rules_and_lists_of_the_store(world, tmp_path, server):
    rules = Rules(category="kind", per_category=1, new_slots=1)
    with world(rules=rules, lists_seconds=0.05) as client:
        assert items(client.ask("u1")) == ["i0", "i1", "i2", "i3", "i4"]
        store = store_of(online(server, tmp_path), tmp_path)
        fill(store, {}, deny=["i1", "i4"], new=["fresh"])
        store.close()
        wait_for(lambda: "fresh" in items(client.ask("u1")))
        assert items(client.ask("u1")) == ["i0", "i2", "i3", "i6", "fresh"]


def test_what_the_nearline_service_says_was_shown_too_often(world, tmp_path, server):
    with world(rules=Rules(shown_most=2)) as client:
        assert items(client.ask("u1"))[:2] == ["i0", "i1"]
        store = store_of(online(server, tmp_path), tmp_path)
        shown = histories.of(["i0", "i1", "i0"], [10**6, 2 * 10**6, 3 * 10**6])
        store.write(SHOWN, {"u1": histories.pack(shown)})
        store.close()
        assert items(client.ask("u1"))[:2] == ["i1", "i2"]


def test_the_filtered_signature_is_told_what_must_not_come(world):
    with world(signature="filtered") as client:
        assert items(client.ask("u1", exclude=[f"i{n}" for n in range(20)], k=3)) == [
            "i20",
            "i21",
            "i22",
        ]


def test_a_rollout_has_its_share(world, tmp_path):
    now = state.now()
    current = state.begin("m", 2, 1, Rollout(shares=(0.25,)), now)
    home = tmp_path / "models" / "m"
    home.mkdir(parents=True)
    rollouts.change(home, current)
    while current.phase != "canary":
        current = state.forward(current, now)
        rollouts.change(home, current)
    with world() as client:
        answers = [client.ask(f"user {n}", items=["a"]) for n in range(120)]
        canary = [each for each in answers if each["model"]["arm"] == "canary"]
        assert 15 <= len(canary) <= 50
        assert {each["model"]["version"] for each in canary} == {2}
    seen = list((home / "observations").rglob("*.jsonl"))
    assert seen, "what the gateway sees is what the rollout is judged by"


def test_arms_change_model_and_rules_and_are_told(world, tmp_path):
    trial = Trial("t", (Arm("a"), Arm("b", label="new", rules=Rules(deny=("i0",)))))
    with world(trials=(trial,)) as client:
        answers = {f"v{n}": client.ask(f"v{n}", items=["x"]) for n in range(20)}
        again = {user: client.ask(user, items=["x"]) for user in answers}
    arms = {user: answer["trials"]["t"] for user, answer in answers.items()}
    assert set(arms.values()) == {"a", "b"}
    for user, answer in answers.items():
        assert (answer["model"]["version"], items(answer)[0]) == (
            (3, "i1") if arms[user] == "b" else (1, "i0")
        )
        assert again[user]["trials"]["t"] == arms[user]
    found = events(tmp_path)
    exposed = [each for each in found if each["type"] == "exposure"]
    assert {each["user"]: each["arm"] for each in exposed} == arms
    assert len({each["id"] for each in exposed}) == len(arms), "one a user and a day"
    shown = [each for each in found if each["type"] == "impression"]
    assert len(shown) == 40
    assert {each["request"] for each in shown} == {
        each["request_id"] for each in [*answers.values(), *again.values()]
    }


def test_impressions_say_what_was_shown(world, tmp_path):
    with world() as client:
        answer = client.ask("u0", segment="de", device="tv", request_id="r1")
    [event] = events(tmp_path)
    assert (event["type"], event["user"], event["id"]) == ("impression", "u0", "r1")
    assert event["items"] == items(answer)
    assert event["reasons"] == ["retrieved"] * 5
    assert (event["source"], event["model_version"], event["segment"]) == ("model", 1, "de")


def test_traces_go_through(world, server):
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with world() as client:
        _, _, headers = client.post({"user": "u0"}, {"traceparent": given})
        assert headers["traceparent"].startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
        assert headers["traceparent"] != given
        _, _, headers = client.post({"user": "u0"})
        assert headers["traceparent"].endswith("-00")


def test_what_is_wrong_with_a_request_is_said(world):
    with world() as client:
        for body, said in (
            (b"{", "the body is no JSON"),
            (b"[1]", "the body is no JSON object"),
            ({"user": "u", "k": 1000}, "k is 1000; give a whole number, 1 to 100"),
            ({"usr": "u"}, "there is no field 'usr'"),
        ):
            status, answer, _ = client.post(body)
            assert status == 400
            assert said in answer["error"]
        status, answer, _ = client.get("user=a&user=b")
        assert (status, answer["error"]) == (400, "user is there 2 times; give it once")
        status, _, _ = client.post(b" " * (2 << 20))
        assert status == 413
        assert client.counted("requests_total", protocol="REST", status="INVALID_ARGUMENT") == 5


def test_who_has_no_token_is_not_let_in_by_either_protocol(world, tmp_path):
    from tests.online.gateway.door.test_access import TOKEN, line

    (tmp_path / "tokens").write_text(line("website", TOKEN))
    access = Access(kind="token", tokens=str(tmp_path / "tokens"), rate=1.0, burst=3.0)
    with world(access=access) as client:
        status, answer, headers = client.post({"user": "u0"})
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "Authorization: Bearer TOKEN" in answer["error"]
        mine = {"Authorization": f"Bearer {TOKEN}"}
        found = [client.post({"user": "u0"}, mine) for _ in range(6)]
        assert [status for status, _, _ in found][:3] == [200] * 3
        assert found[-1][0] == 429
        assert int(found[-1][2]["Retry-After"]) >= 1
        assert client.get("", "/livez")[0] == 200, "health asks for no token"
        with grpc.insecure_channel(f"127.0.0.1:{client.running.grpc_port}") as channel:
            with pytest.raises(grpc.RpcError) as error:
                call(channel)(messages.RecommendRequest(user="u0"), timeout=10)
            assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED  # type: ignore


def call(channel):
    return channel.unary_unary(
        f"/{messages.SERVICE}/{messages.METHOD}",
        request_serializer=messages.RecommendRequest.SerializeToString,
        response_deserializer=messages.RecommendResponse.FromString,
    )


def test_grpc_says_the_same(world):
    with (
        world() as client,
        grpc.insecure_channel(f"127.0.0.1:{client.running.grpc_port}") as channel,
    ):
        found, sent = call(channel).with_call(messages.RecommendRequest(user="u0", k=3), timeout=10)
        assert [each.item for each in found.items] == ["i0", "i3", "i4"]
        assert json.loads(found.items[0].attributes)["title"] == "Title 0"
        assert dict(sent.trailing_metadata())["traceparent"].startswith("00-")
        with pytest.raises(grpc.RpcError) as error:
            call(channel)(messages.RecommendRequest(k=1000), timeout=10)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT  # type: ignore
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=messages.HealthCheckRequest.SerializeToString,
            response_deserializer=messages.HealthCheckResponse.FromString,
        )
        wait_for(
            lambda: check(messages.HealthCheckRequest(), timeout=10).status == messages.SERVING
        )


def test_beyond_its_capacity_it_answers_at_once_by_what_is_popular(world):
    with world(in_flight=1, budget=Budget(seconds=3.0), guard=Guard(hedge=0.0)) as client:
        import threading

        answers = []
        ask = [
            threading.Thread(target=lambda: answers.append(client.ask("slow", k=3)))
            for _ in range(6)
        ]
        for each in ask:
            each.start()
        for each in ask:
            each.join()
        busy = [each for each in answers if "busy" in each["missing"]]
        assert busy
        assert all(items(each)[:2] == ["i30", "i31"] for each in busy)


def test_the_log_has_nobody_in_it(world, caplog):
    caplog.set_level("INFO", "podway.requests")
    with world(log_share=1.0) as client:
        client.ask("u0", items=["i7"])
        client.post({"user": "secret", "k": 0})
    lines = [
        json.loads(each.getMessage()) for each in caplog.records if each.name == "podway.requests"
    ]
    assert [line.get("status", "OK") for line in lines] == ["OK", "INVALID_ARGUMENT"]
    for personal in ("u0", "i7", "secret", "i0"):
        assert personal not in json.dumps(lines)
    with world(log_share=1.0, log_users=True) as client:
        client.ask("u0")
    assert json.loads(caplog.records[-1].getMessage())["user"] == "u0"
