"""Requests that are right, and what is said of those that are not."""

import pytest

from podway.online.gateway import request
from podway.online.gateway.request import RequestError


def test_what_is_not_said_has_its_default():
    found = request.of({}, most=10)
    assert (found.user, found.items, found.k, found.seconds) == ("", (), 0, None)
    assert len(found.id) == 32
    assert found.id != request.of({}, most=10).id


def test_numbers_may_be_items_and_users():
    found = request.of({"user": 7, "items": [1, "b", ""], "k": "3", "timeout_ms": 50}, most=10)
    assert (found.user, found.items, found.k, found.seconds) == ("7", ("1", "b"), 3, 0.05)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"usr": "u"}, "there is no field 'usr'; there are user, segment"),
        ({"user": ["u"]}, "user is no text"),
        ({"user": True}, "user is no text"),
        ({"user": "u" * 513}, "user is no text of at most 512"),
        ({"items": "abc"}, "items is 'abc'; give a list"),
        ({"items": [None]}, "items has None"),
        ({"items": ["a"] * 1001}, "items has 1001 values"),
        ({"exclude": {"a": 1}}, "exclude is"),
        ({"k": 0}, "k is 0; give a number above 0"),
        ({"k": 11}, "k is 11; give a whole number, 1 to 10"),
        ({"k": 1.5}, "k is 1.5; give a whole number"),
        ({"k": "many"}, "k is 'many'"),
        ({"k": True}, "k is True"),
        ({"timeout_ms": float("nan")}, "timeout_ms is nan"),
        ({"timeout_ms": float("inf")}, "timeout_ms is inf"),
        ({"request_id": "a b\n"}, "request_id is no text"),
    ],
)
def test_what_is_wrong_is_named(given, said):
    with pytest.raises(RequestError, match=said):
        request.of(given, most=10)
