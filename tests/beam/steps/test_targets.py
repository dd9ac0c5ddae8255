"""Splits of events of which some are history only, against a loop over users."""

import random

import numpy as np
import pyarrow as pa
import pytest

from podway.beam.steps import split
from podway.beam.steps.split import Events, Examples
from podway.framework.config import GlobalTime, LeaveOneOut
from podway.framework.schema.schema import EVENT_WEIGHT

Found = dict[str, dict[int, tuple[int, int | None]]]
"""Split → user → (length of the history, place of the target)."""


def some_users(generator: random.Random) -> list[list[tuple[int, int, float]]]:
    """Users' events: time, item, weight."""
    return [
        [
            (time, generator.randrange(4), generator.choice([0.0, 0.0, 0.5, 1.0]))
            for time in sorted(generator.randrange(30) for _ in range(generator.randrange(1, 9)))
        ]
        for _ in range(20)
    ]


def as_events(users: list[list[tuple[int, int, float]]], *, weights: bool = True) -> Events:
    flat = [event for user in users for event in user]
    return Events(
        user=np.arange(len(users), dtype=np.uint64),
        offsets=np.concatenate([[0], np.cumsum([len(user) for user in users])]),
        item=np.array([item for _, item, _ in flat], np.int32),
        items=np.arange(4, dtype=np.uint64),
        time=np.array([time for time, _, _ in flat], np.int64),
        features={EVENT_WEIGHT: pa.array([w for *_, w in flat], pa.float32())} if weights else {},
    )


def slow_leave_one_out(users: list[list[tuple[int, int, float]]]) -> Found:
    found: Found = {name: {} for name in ("train", "validation", "test")}
    for user, events in enumerate(users):
        targets = [at for at, (_, _, weight) in enumerate(events) if weight > 0]
        if len(targets) < 3:
            found["train"][user] = len(events), None
            continue
        found["train"][user] = targets[-2], None
        found["validation"][user] = targets[-2], targets[-2]
        found["test"][user] = targets[-1], targets[-1]
    return found


def slow_global_time(
    users: list[list[tuple[int, int, float]]], validation: int, test: int
) -> Found:
    found: Found = {name: {} for name in ("train", "validation", "test")}
    for user, events in enumerate(users):
        if any(time < validation for time, *_ in events):
            found["train"][user] = sum(time < validation for time, *_ in events), None
        for name, begin, end in (("validation", validation, test), ("test", test, 10**9)):
            known = any(time < begin for time, *_ in events)
            for at, (time, _, weight) in enumerate(events):
                if known and begin <= time < end and weight > 0:
                    found[name][user] = at, at
                    break
    return found


def as_found(events: Events, parts: dict[str, Examples]) -> Found:
    found: Found = {}
    for name, part in parts.items():
        start = events.offsets[part.user]
        places = [None] * len(start) if part.target is None else (part.target - start).tolist()
        lengths = part.length.tolist()
        found[name] = dict(zip(part.user.tolist(), zip(lengths, places, strict=True), strict=True))
    return found


@pytest.mark.parametrize("seed", range(30))
def test_splits_are_those_of_a_loop(seed):
    users = some_users(random.Random(seed))
    events = as_events(users)
    found = split.examples(LeaveOneOut(), events, None)
    assert as_found(events, found) == slow_leave_one_out(users)
    seen = sum(
        events_of[target][1] in [item for _, item, _ in events_of[:target]]
        for events_of, target in [
            (users[user], target) for user, (_, target) in slow_leave_one_out(users)["test"].items()
        ]
        if target is not None
    )
    assert split.seen_targets(events, found["test"]) == seen
    found = split.examples(GlobalTime(), events, [12, 20])
    assert as_found(events, found) == slow_global_time(users, 12, 20)


@pytest.mark.parametrize("seed", range(5))
def test_without_weights_all_events_are_targets(seed):
    users = [[(t, item, 1.0) for t, item, _ in user] for user in some_users(random.Random(seed))]
    for cuts, rule in ((None, LeaveOneOut()), ([12, 20], GlobalTime())):
        plain, weighted = (as_events(users, weights=weights) for weights in (False, True))
        found = [as_found(e, split.examples(rule, e, cuts)) for e in (plain, weighted)]
        assert found[0] == found[1]
