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


@dataclasses.dataclass(frozen=True)
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
    found = {*rules.deny, *situation.deny, *situation.exclude}
    if rules.seen:
        found.update(situation.seen)
    if rules.shown_most:
        found.update(i for i, times in situation.shown.items() if times >= rules.shown_most)
    return found


def may(rules: Rules, situation: Situation, known: Attributes) -> Callable[[str], bool]:
    """Whether an item may be shown at all."""
    out = barred(rules, situation)
    allow = [frozenset(each) for each in (rules.allow, situation.allow) if each]

    if not allow and not rules.where:
        out.add("")
        return lambda item: item not in out

    def test(item: str) -> bool:
        if not item or item in out or not all(item in each for each in allow):
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
    allowed = may(rules, situation, known)
    taken: list[Candidate] = []
    there: set[str] = set()
    categories: dict[Any, int] = {}
    fresh, capped = 0, rules.per_category > 0 or rules.fresh_most > 0

    def take(candidate: Candidate) -> None:
        nonlocal fresh
        item = candidate.item
        if item in there or not allowed(item):
            return
        if capped:
            attributes = known(item)
            category = attributes.get(rules.category) if rules.per_category else None
            if category is not None:
                category = _key(category)
                if categories.get(category, 0) >= rules.per_category:
                    return
            if rules.fresh_most and _freshness(rules, attributes, situation.now) > 0:
                if fresh >= rules.fresh_most:
                    return
                fresh += 1
            if category is not None:
                categories[category] = categories.get(category, 0) + 1
        there.add(item)
        taken.append(candidate)

    newcomers = [Candidate(item, 0.0, "new") for item in _spread(situation)]
    slots = min(rules.new_slots, k)
    if slots:  # first, so that the caps leave them their places
        for each in newcomers:
            if len(taken) == slots:
                break
            take(each)
    added, taken[:] = list(taken), []
    room = k - len(added)
    for group in groups:
        if len(taken) == room:
            break
        for each in ordered(rules, group, situation.now, known):
            take(each)
            if len(taken) == room:
                break
    return taken + added


def ordered(
    rules: Rules, candidates: Sequence[Candidate], now: float, known: Attributes
) -> list[Candidate]:
    """Best first; scores that are no numbers are left out, equal ones stay in their order."""
    finite = [each for each in candidates if math.isfinite(each.score)]
    if not rules.fresh_boost or not finite:
        # Stable, so that equal ones stay; of what is in order already it is one pass.
        return sorted(finite, key=_SCORE, reverse=True)
    scores = [each.score for each in finite]
    width = (max(scores) - min(scores)) or 1.0
    lifted = [
        each.score + rules.fresh_boost * width * _freshness(rules, known(each.item), now)
        for each in finite
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
