"""The messages in code are those of the .proto that clients are made of."""

import pathlib
import re

from podway.online.gateway.answer import NOTHING, Answer, Attributes
from podway.online.gateway.door import messages

PROTO = pathlib.Path(__file__).parents[4] / "docs/online/recommend.proto"
FIELD = re.compile(r"(repeated )?(map<string, string>|\w+) (\w+) = (\d+);")


def test_the_proto_says_the_same():
    text = PROTO.read_text()
    assert f"package {messages.PACKAGE};" in text
    assert re.search(rf"service {messages.SERVICE.split('.')[-1]} ", text)
    assert f"rpc {messages.METHOD}(RecommendRequest) returns (RecommendResponse);" in text
    found = {}
    for name, body in re.findall(r"message (\w+) \{(.*?)\n\}", text, re.DOTALL):
        found[name] = {
            field: (int(number), kind.replace("map<string, string>", "Entry*") + many * bool(many))
            for many, kind, field, number in (
                ("*" if repeated else "", kind, field, number)
                for repeated, kind, field, number in FIELD.findall(body)
            )
        }
    assert found == {name: fields for name, fields in messages.MESSAGES.items() if name != "Entry"}


def test_an_answer_is_the_same_over_the_wire():
    answer = Answer(
        "r1",
        (("ü", 1.5, "ranked", Attributes({"title": "Ü"})), ("b", 0.0, "new", NOTHING)),
        "model",
        "m",
        7,
        "canary",
        {"t": "b"},
        {"rank": "UNAVAILABLE"},
        1.25,
    )
    sent = messages.write(answer).SerializeToString()
    got = messages.RecommendResponse.FromString(sent)
    assert [(each.item, each.score, each.reason) for each in got.items] == [
        ("ü", 1.5, "ranked"),
        ("b", 0.0, "new"),
    ]
    assert got.items[0].attributes == '{"title":"Ü"}'
    assert got.age_seconds == 1.25
    assert (got.request_id, got.source, got.model, got.version) == ("r1", "model", "m", 7)
    assert {each.key: each.value for each in got.trials} == {"t": "b"}
    assert {each.key: each.value for each in got.missing} == {"rank": "UNAVAILABLE"}


def test_a_call_without_a_deadline_of_its_own_has_that_of_grpc():
    sent = messages.RecommendRequest(user="u", items=["a", ""])
    read = messages.read(sent, most=10, left=0.2, trace="", client="")
    assert read.seconds is not None
    assert 0.15 < read.seconds < 0.2
    assert (read.user, read.items, read.k) == ("u", ("a",), 0)
    sent.timeout_ms = 50
    assert messages.read(sent, most=10, left=0.2, trace="", client="").seconds == 0.05
