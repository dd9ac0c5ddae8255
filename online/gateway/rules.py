"""Candidates → the list that a user is shown. Pure: what is known of items is given.

left out: seen, excluded, denied, not allowed, without an attribute that is wanted
ordered:  by score, fresh items lifted
taken:    best first, up to the caps of categories and of fresh items
new:      items that no model knows, in the last places
"""

import dataclasses
import hashlib
import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from podway.framework.config.online import Rules
from podway.online.gateway.answer import Candidate

_DAY = 86_400.0

_SCORE = operator.itemgetter(1)

Attributes = Callable[[str], Mapping[str, Any]]
"""Item → what is known of it; {} where that is nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Situation:
    """For whom a list is made, and when.

    Attributes:
      seen: items that the user has had, those of the session with them.
      shown: item → how often the user was shown it of late.
      exclude: items that the request does not want.
      allow: only these; empty: all. Beside the rules' own.
      deny: never these. Beside the rules' own.
      new: items that are new, for `new_slots`.
      now: seconds since 1970.
      salt: of the user, so that new items are spread over users.
    """

    seen: Collection[str] = ()
    shown: Mapping[str, int] = dataclasses.field(default_factory=dict)
    exclude: Collection[str] = ()
    allow: Collection[str] = ()
    deny: Collection[str] = ()
    new: Sequence[str] = ()
    now: float = 0.0
    salt: str = ""


def barred(rules: Rules, situation: Situation) -> set[str]:
    """Items that cannot be shown, whatever their attributes."""
    found = _refused(rules, situation)
    return found.union(situation.seen) if rules.seen else found


def _refused(rules: Rules, situation: Situation) -> set[str]:
    """Those that are barred, but for what was seen: of these there are many, and nobody copies
    them."""
    found = {*rules.deny, *situation.deny, *situation.exclude}
    if rules.shown_most:
        found.update(i for i, times in situation.shown.items() if times >= rules.shown_most)
    return found


def may(rules: Rules, situation: Situation, known: Attributes) -> Callable[[str], bool]:
    """Whether an item may be shown at all."""
    out, seen = _refused(rules, situation), situation.seen if rules.seen else ()
    allow = [frozenset(each) for each in (rules.allow, situation.allow) if each]

    if not allow and not rules.where:
        out.add("")
        return lambda item: item not in seen and item not in out

    def test(item: str) -> bool:
        if not item or item in seen or item in out or not all(item in each for each in allow):
            return False
        return all(_has(known(item), each.field, each.values) for each in rules.where)

    return test


def applied(
    rules: Rules,
    groups: Sequence[Sequence[Candidate]],
    k: int,
    situation: Situation,
    known: Attributes,
) -> list[Candidate]:
    """The list, at most k items.

    Args:
      rules: of the user.
      groups: candidates, each group wholly before the next: the model's, then what fills up.
      k: items that are wanted.
      situation: for whom, and when.
      known: what is known of items.
    """
    allowed, fits = may(rules, situation, known), _caps(rules, situation.now, known)
    there: set[str] = set()

    def take(candidates: Sequence[Candidate], room: int) -> list[Candidate]:
        taken: list[Candidate] = []
        for each in candidates:
            if len(taken) >= room:
                break
            item = each[0]
            if item not in there and allowed(item) and (fits is None or fits(item)):
                there.add(item)
                taken.append(each)
        return taken

    added: list[Candidate] = []
    if slots := min(rules.new_slots, k):  # first, so that the caps leave them their places
        added = take([(item, 0.0, "new") for item in _spread(situation)], slots)
    found: list[Candidate] = []
    for group in groups:
        if group and len(found) < k - len(added):
            best = ordered(rules, group, situation.now, known)
            found += take(best, k - len(added) - len(found))
    return found + added


def _caps(rules: Rules, now: float, known: Attributes) -> Callable[[str], bool] | None:
    """Says of items, each of which is taken if nothing else is against it, whether the caps leave
    it a place; None: there are no caps."""
    most, most_fresh = rules.per_category, rules.fresh_most
    if not most and not most_fresh:
        return None
    categories: dict[Any, int] = {}
    fresh = 0

    def fits(item: str) -> bool:
        nonlocal fresh
        attributes = known(item)
        category = attributes.get(rules.category) if most else None
        if category is not None:
            if type(category) is not str:
                category = _key(category)
            if categories.setdefault(category, 0) >= most:
                return False
        if most_fresh and _freshness(rules, attributes, now) > 0:
            if fresh >= most_fresh:
                return False
            fresh += 1
        if category is not None:
            categories[category] += 1
        return True

    return fits


def ordered(
    rules: Rules, candidates: Sequence[Candidate], now: float, known: Attributes
) -> list[Candidate]:
    """Best first; scores that are no numbers are left out, equal ones stay in their order."""
    finite = [each for each in candidates if math.isfinite(each[1])]
    if not rules.fresh_boost or not finite:
        # Stable, so that equal ones stay; of what is in order already it is one pass.
        finite.sort(key=_SCORE, reverse=True)
        return finite
    scores = [score for _, score, _ in finite]
    width = (max(scores) - min(scores)) or 1.0
    lifted = [
        score + rules.fresh_boost * width * _freshness(rules, known(item), now)
        for item, score, _ in finite
    ]
    return [finite[at] for at in sorted(range(len(finite)), key=lambda at: -lifted[at])]


def _freshness(rules: Rules, attributes: Mapping[str, Any], now: float) -> float:
    """1 for what came this moment, halved each third of `fresh_days`; 0 after these, or unknown."""
    try:
        days = (now - float(attributes[rules.fresh])) / _DAY
    except (KeyError, TypeError, ValueError):
        return 0.0
    # What is to come, by more than clocks differ, is not fresh; nor is what is no number.
    if not -0.01 <= days <= rules.fresh_days:
        return 0.0
    return 0.5 ** (3 * max(days, 0.0) / rules.fresh_days)


def _spread(situation: Situation) -> list[str]:
    """New items, in an order of the user's and the day's own."""
    if not situation.new:
        return []
    salt = f"{situation.salt} {int(situation.now // _DAY)}".encode()
    return sorted(
        situation.new,
        key=lambda item: hashlib.blake2b(item.encode(), digest_size=8, salt=_eight(salt)).digest(),
    )


def _eight(salt: bytes) -> bytes:
    return hashlib.blake2b(salt, digest_size=8).digest()


def _has(attributes: Mapping[str, Any], field: str, values: Collection[str]) -> bool:
    value = attributes.get(field)
    if isinstance(value, bool):
        value = "true" if value else "false"
    found = value if isinstance(value, list) else [value]
    return any(str(each) in values for each in found if each is not None)


def _key(category: Any) -> Any:
    return tuple(map(str, category)) if isinstance(category, list) else category
