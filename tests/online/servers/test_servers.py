"""Our clients before the embedded server, which answers as TensorFlow Serving does."""

import asyncio
import math

import pytest
import tensorflow as tf

from podway.export import layout
from podway.launch.rollout import ask
from podway.launch.rollout.target import RolloutError
from podway.online.servers import answer, rest, rpc
from podway.online.servers.answer import Answer, ServerError
from tests.export.server.conftest import WARMUP, free_port, predict_request, running

HISTORY = {"history": [["a", "b", ""], ["ü", "", ""]]}


def by(kind: str, client, call):
    """What `call` makes of a server, by one protocol."""
    address = (
        rpc.connected(f"127.0.0.1:{client.grpc_port}", {"b": "int32", "turns": "int32"})
        if kind == "rpc"
        else rest.connected(f"http://127.0.0.1:{client.rest_port}")
    )

    async def run():
        async with address as server:
            return await call(server)

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["rpc", "rest"])
@pytest.mark.parametrize(
    ("which", "version"), [({}, 2), ({"label": "stable"}, 1), ({"version": 1}, 1)]
)
def test_a_label_a_version_or_neither_is_asked(client, kind, which, version):
    found = by(kind, client, lambda server: server.predict("m", HISTORY, **which))
    assert found.rows("item") == [["a", f"v{version}"], ["ü", f"v{version}"]]
    assert found.rows("score")[0] == [2.0, pytest.approx(version / 10)]
    assert found.version in (version, None if kind == "rest" else version)
    assert answer.highest(found, "score") == pytest.approx(2.0)
    assert not answer.is_empty(found, "item")


@pytest.mark.parametrize("kind", ["rpc", "rest"])
def test_other_types_and_other_signatures(client, kind):
    inputs = {"a": [[1.0, 2.0, 3.0]], "b": [4]}
    found = by(kind, client, lambda server: server.predict("m", inputs, signature="two"))
    assert found.rows("sum") == [[5.0, 6.0, 7.0]]
    lone = by(kind, client, lambda server: server.predict("m", {"turns": 1}, signature="slow"))
    assert lone.rows("turns") == 1, "REST leaves out the name of a lone output"


@pytest.mark.parametrize(
    ("kind", "which", "code"),
    [
        ("rpc", {"label": "canary"}, "INVALID_ARGUMENT"),
        ("rpc", {"version": 9}, "NOT_FOUND"),
        ("rest", {"label": "canary"}, "HTTP 400"),
        ("rest", {"version": 9}, "HTTP 404"),
    ],
)
def test_what_is_refused_has_its_code(client, kind, which, code):
    with pytest.raises(ServerError) as error:
        by(kind, client, lambda server: server.predict("m", HISTORY, **which))
    assert error.value.code == code


@pytest.mark.parametrize("kind", ["rpc", "rest"])
def test_who_is_late_or_not_there(client, kind):
    with pytest.raises(ServerError) as error:
        by(
            kind,
            client,
            lambda server: server.predict("m", {"turns": 3000}, signature="slow", timeout=0.05),
        )
    assert error.value.code == "DEADLINE_EXCEEDED"
    nobody = type(client)(free_port(), free_port(), None)
    with pytest.raises(ServerError) as error:
        by(kind, nobody, lambda server: server.predict("m", HISTORY))
    assert error.value.code == "UNAVAILABLE"


def test_rows_of_different_length_are_refused_before_they_are_sent(client):
    with pytest.raises(ServerError, match="input 'history': rows differ in length"):
        by("rpc", client, lambda server: server.predict("m", {"history": [["a"], ["a", "b"]]}))


def test_what_is_empty_and_what_is_highest():
    assert answer.is_empty(Answer({}), "item")
    assert answer.is_empty(Answer({"item": []}), "item")
    assert answer.is_empty(Answer({"item": [["a"], ["", ""]]}), "item"), "one of its rows is"
    assert not answer.is_empty(Answer({"item": [["", "a"]]}), "item")
    assert answer.highest(Answer({}), "score") is None
    assert answer.highest(Answer({"score": [[0.5, -1], [3.0]]}), "score") == 3.0
    for bad in (math.nan, math.inf, -math.inf):
        found = answer.highest(Answer({"score": [[0.5, bad]]}), "score")
        assert found is not None
        assert math.isnan(found), "not-a-number never wins"


@pytest.mark.parametrize("warm", [False, True])
def test_a_server_is_asked_which_version_answers(site, warm):
    history = tf.constant([["a"]])
    site.put(1, *([predict_request(history=history)] if warm else []))
    site.put(2)
    assert layout.WARMUP == WARMUP
    site.ask_for("all {}", more='version_labels { key: "stable" value: 1 }')
    home = ask.epath.Path(site.root / "m")
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE", 2: "AVAILABLE"})
        address = f"127.0.0.1:{client.grpc_port}"
        assert ask.answering(address, "m", "stable", home, 1) == 1
        with pytest.raises(RolloutError, match="does not answer for label 'canary' of m"):
            ask.answering(address, "m", "canary", home, 1)


def test_an_answer_that_is_no_number_is_none(site, tmp_path):
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def log(self, x):
            return {"score": tf.math.log(x)}

    model = Model()
    place = site.put(1, predict_request(x=[-1.0]))
    tf.saved_model.save(model, str(tmp_path / "built"), signatures=model.log)
    for name in ("saved_model.pb", "fingerprint.pb"):
        (place / name).write_bytes((tmp_path / "built" / name).read_bytes())
    site.ask_for("all {}", more='version_labels { key: "stable" value: 1 }')
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        with pytest.raises(RolloutError, match="answers with score that are not all finite"):
            ask.answering(
                f"127.0.0.1:{client.grpc_port}", "m", "stable", ask.epath.Path(place.parent), 1
            )
