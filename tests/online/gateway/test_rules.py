"""Rules of the business, on lists that can be worked out by hand."""

import math
import random

import pytest

from podway.framework.config.online import Rules, Where
from podway.framework.error import ConfigError
from podway.online.gateway.answer import Candidate
from podway.online.gateway.rules import Situation, applied

DAY = 86_400.0
NOW = 20_000 * DAY
ITEMS = {
    "a": {"kind": "red", "live": True, "time": NOW - DAY},
    "b": {"kind": "red", "live": True, "time": NOW - 100 * DAY},
    "c": {"kind": "red", "live": False, "time": NOW},
    "d": {"kind": "blue", "live": True, "time": NOW - 100 * DAY},
    "e": {"live": True, "tags": ["x", "y"]},
}
MODEL: list[Candidate] = [(item, 5.0 - at, "retrieved") for at, item in enumerate("abcde")]


def known(item):
    return ITEMS.get(item, {})


NO_RULES = Rules()


def shown(rules: Rules = NO_RULES, k: int = 10, groups=(MODEL,), **situation) -> str:
    given = Situation(**{"now": NOW, "salt": "u", **situation})
    return "".join(item for item, _, _ in applied(rules, groups, k, given, known))


def test_without_rules_the_models_order_stands():
    assert shown() == "abcde"
    assert shown(k=2) == "ab"


def test_what_is_seen_excluded_denied_or_not_allowed_is_left_out():
    assert shown(seen={"a", "e"}) == "bcd"
    assert shown(Rules(seen=False), seen={"a"}) == "abcde"
    assert shown(Rules(deny=("b",)), deny={"c"}, exclude=("d",)) == "ae"
    assert shown(Rules(allow=("a", "b", "c")), allow={"b", "c", "d"}) == "bc"


def test_what_was_shown_too_often_is_left_out():
    assert shown(Rules(shown_most=2), shown={"a": 1, "b": 2, "c": 5}) == "ade"
    assert shown(shown={"a": 9}) == "abcde"


def test_only_items_with_an_attribute():
    assert shown(Rules(where=(Where("live", ("true",)),))) == "abde"
    assert shown(Rules(where=(Where("kind", ("red", "blue")),))) == "abcd"
    assert shown(Rules(where=(Where("tags", ("y",)),))) == "e", "one of a list will do"
    assert shown(Rules(where=(Where("gone", ("1",)),))) == ""


def test_no_more_of_a_category_than_its_cap_and_the_next_group_fills_up():
    capped = Rules(category="kind", per_category=1)
    assert shown(capped) == "ade", "who has no category counts as one each"
    popular = [(item, 1.0, "popular") for item in "bdxyz"]
    assert shown(capped, groups=(MODEL, popular), k=5) == "adexy"


def test_fresh_items_are_lifted_by_what_the_scores_are_apart():
    lift = Rules(fresh="time", fresh_days=7.0, fresh_boost=1.0)
    # a: 5 + 4 * .5**(3/7) = 7.97, c: 3 + 4 = 7
    assert shown(lift) == "acbde"
    assert shown(Rules(fresh="time", fresh_days=7.0, fresh_boost=0.1)) == "abcde"
    shifted = [(item, score * 1000 - 7, reason) for item, score, reason in MODEL]
    assert shown(lift, groups=(shifted,)) == "acbde", "whatever the scale"


def test_no_more_fresh_items_than_their_cap():
    assert shown(Rules(fresh="time", fresh_most=1)) == "abde"
    assert shown(Rules(fresh="time", fresh_most=1, category="kind", per_category=2)) == "abde"


def test_new_items_have_the_last_places_and_go_round():
    slots = Rules(new_slots=2)
    new = ("n1", "n2", "n3", "a")
    lists = {shown(slots, k=5, new=new, salt=f"user {n}", seen={"a"})[-4:] for n in range(50)}
    assert lists == {"n1n2", "n2n1", "n1n3", "n3n1", "n2n3", "n3n2"}
    assert shown(slots, k=5, new=("n1",)) == "abcdn1", "what nobody needs stays the model's"
    assert shown(slots, k=5, new=("n1",), deny={"n1"}) == "abcde"


def test_scores_that_are_no_numbers_never_win():
    odd = [("x", math.nan, "retrieved"), ("y", math.inf, "retrieved"), *MODEL]
    assert shown(groups=(odd,)) == "abcde"
    assert shown(Rules(fresh="time", fresh_boost=1.0), groups=(odd,)) == "acbde"


def test_what_every_list_keeps():
    """Any candidates, any rules: no doubles, nothing barred, caps held, no longer than k."""
    chance = random.Random(3)
    items = [f"i{n}" for n in range(30)]
    attributes = {
        item: {"kind": chance.choice("abc"), "time": NOW - chance.uniform(-1, 30) * DAY}
        for item in items
        if chance.random() < 0.8
    }
    for _ in range(300):
        rules = Rules(
            category="kind",
            per_category=chance.randrange(4),
            fresh="time",
            fresh_boost=chance.choice((0.0, 1.0)),
            fresh_most=chance.randrange(4),
            new_slots=chance.randrange(4),
            deny=tuple(chance.sample(items, 3)),
        )
        groups = [
            [(i, chance.gauss(0, 1), "retrieved") for i in chance.sample(items, 15)]
            for _ in range(2)
        ]
        seen, k = set(chance.sample(items, 5)), chance.randrange(1, 12)
        given = Situation(seen=seen, new=chance.sample(items, 5), now=NOW, salt="u")
        found = applied(rules, groups, k, given, lambda i: attributes.get(i, {}))
        names = [item for item, _, _ in found]
        assert len(names) == len(set(names)) <= k
        assert not set(names) & (seen | set(rules.deny))
        kinds = [attributes[n]["kind"] for n in names if n in attributes]
        if rules.per_category:
            assert all(kinds.count(kind) <= rules.per_category for kind in kinds)
        if rules.fresh_most:
            young = [
                n
                for n in names
                if n in attributes and -0.01 <= (NOW - attributes[n]["time"]) / DAY <= 7
            ]
            assert len(young) <= rules.fresh_most


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"per_category": 2}, "rules.per_category needs rules.category"),
        ({"fresh_boost": 1.0}, "rules.fresh_boost needs rules.fresh"),
        ({"fresh": "t", "fresh_days": math.nan}, "rules.fresh_days is nan"),
        ({"new_slots": -1}, "rules.new_slots is -1; give 0 or more"),
    ],
)
def test_rules_that_cannot_be(fields, said):
    with pytest.raises(ConfigError, match=said):
        Rules(**fields)
