"""Which events each split shows: those of histories, and those that are rows of their own.

A random split hashes each row with its values, and, of equal rows, with its number among them: so
the order of files and rows, and the number of shards, change nothing, and a row stays where it is
when others are added. Where labels are stratified, each class has points of its own on the scale of
the hashes, at the shares of that class's rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from podway.beam.statistics import quantiles
from podway.beam.steps import codes, split
from podway.beam.steps.split import Events
from podway.framework.config import Data, GlobalTime, RandomSplit, RowExamples
from podway.framework.config.features import Label
from podway.framework.error import check

CLASSES = 1000
"""Classes that a label may have to be stratified."""

PLACES = 1 << 16
"""Rows of a class that are told apart; of more, some neighbours count as one (see quantiles.py)."""

_EXACT = 53
"""Bits of a whole number that float64 holds."""


def of_splits(data: Data, events: Events, cuts: Any) -> dict[str, np.ndarray]:
    """The mask of the events that each split's examples are, or have in their histories; `cuts` are
    the points of a global split, or those of a stratified one."""
    if isinstance(data.examples, RowExamples):
        return rows(data, events, cuts)
    found = split.examples(data.split, events, cuts)
    return {name: split.histories(events, part) for name, part in found.items()}


def of_train(data: Data, events: Events, cuts: Any) -> np.ndarray:
    """The mask of the events that training shows."""
    if isinstance(data.examples, RowExamples):
        return rows(data, events, cuts)["train"]
    return split.histories(events, split.examples(data.split, events, cuts)["train"])


def rows(data: Data, events: Events, cuts: Any) -> dict[str, np.ndarray]:
    """Where each event is an example of its own: the mask of each split's events."""
    if isinstance(data.split, RandomSplit):
        return _at_random(data, data.split, events, cuts)
    if isinstance(data.split, GlobalTime):
        assert cuts is not None
        validation = (events.time >= cuts[0]) & (events.time < cuts[1])
        train = events.time < cuts[0]
        return {"train": train, "validation": validation, "test": events.time >= cuts[1]}
    position, count = _within(events), np.repeat(np.diff(events.offsets), np.diff(events.offsets))
    held_out = count >= 3
    return {
        "train": ~held_out | (position < count - 2),
        "validation": held_out & (position == count - 2),
        "test": held_out & (position == count - 1),
    }


def _within(events: Events) -> np.ndarray:
    """Per event, how many events of its user come before it."""
    return np.arange(len(events.item)) - np.repeat(events.offsets[:-1], np.diff(events.offsets))


def _at_random(
    data: Data, rule: RandomSplit, events: Events, cuts: list[list[int]] | None
) -> dict[str, np.ndarray]:
    """By the rows' places; `cuts` as `cut` returns them, None where nothing is stratified."""
    place = places(rule, events)
    points = np.array([_points(rule)] * len(place), np.uint64).reshape(-1, 2)
    if cuts:
        known, of_class = np.array([row[0] for row in cuts], np.uint64), classes(data, events)
        at = np.searchsorted(known, of_class)
        at[at == len(known)] = 0
        there = known[at] == of_class
        points[there] = np.array([row[1:] for row in cuts], np.uint64)[at[there]]
    test, validation = place < points[:, 0], place < points[:, 1]
    return {"train": ~validation, "validation": validation & ~test, "test": test}


def _points(rule: RandomSplit) -> list[int]:
    """Below which places are the test split, and the validation split with it."""
    return [int(share * 2.0**_EXACT) for share in (rule.test, rule.test + rule.validation)]


def places(rule: RandomSplit, events: Events) -> np.ndarray:
    """Each row's place on a scale from 0 to below 2 ** 53, uint64: pseudo-random."""
    counts = np.diff(events.offsets)
    if rule.by == "user":
        hashes = np.repeat(events.user, counts)
    else:
        columns = {"user": np.repeat(events.user, counts), "item": events.items[events.item]}
        columns |= {"time": events.time, **events.features}
        hashes = codes.hash_rows(columns)
        # Equal rows lie beside each other.
        new = np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)]
        first = np.maximum.accumulate(np.where(new, np.arange(len(hashes)), 0))
        hashes = codes.scatter(hashes + (np.arange(len(hashes)) - first).astype(np.uint64), 0)
    return codes.scatter(hashes, rule.seed) >> np.uint64(64 - _EXACT)


def classes(data: Data, events: Events) -> np.ndarray:
    """Each row's class of what is stratified, uint64 below 2 ** 63."""
    rule = data.split
    assert isinstance(rule, RandomSplit)
    (feature,) = (one for one in data.features if one.name == rule.stratify)
    column = events.features[feature.name]
    if isinstance(column, pa.DictionaryArray):
        return (column.dictionary.to_numpy() >> np.uint64(1))[column.indices.to_numpy()]
    numbers = column.to_numpy(zero_copy_only=False).astype(np.float32)
    if isinstance(feature, Label) and feature.above is not None:
        numbers = (numbers > np.float32(feature.above)).astype(np.float32)
    return numbers.view(np.uint32).astype(np.uint64)


def strata(data: Data, events: Events) -> dict[int, quantiles.Sketch]:
    """Of each class the places of its rows. Raises ConfigError: too many classes."""
    assert isinstance(data.split, RandomSplit)
    place, of_class = places(data.split, events), classes(data, events)
    found = np.unique(of_class)
    _check_classes(data, len(found))
    return {int(one): quantiles.of(place[of_class == one], limit=PLACES) for one in found}


def cut(sketches: Sequence[Mapping[int, quantiles.Sketch]], data: Data) -> list[list[int]]:
    """(class, points) of each class, by rising class: as many rows below as the shares say.

    Raises ConfigError: too many classes.
    """
    rule = data.split
    assert isinstance(rule, RandomSplit)
    found = []
    every = sorted({one for part in sketches for one in part})
    _check_classes(data, len(every))
    for one in every:
        whole = quantiles.merge([part[one] for part in sketches if one in part])
        ends = np.cumsum(whole.counts)
        points = []
        for share in (rule.test, rule.test + rule.validation):
            at = int(np.searchsorted(ends, round(share * int(ends[-1])), side="right"))
            points.append(int(whole.low[at]) if at < len(ends) else 1 << _EXACT)
        found.append([one, *points])
    return found


def _check_classes(data: Data, count: int) -> None:
    """Raises ConfigError: too many classes to stratify."""
    assert isinstance(data.split, RandomSplit)
    check(
        count <= CLASSES,
        f"data.split.stratify is {data.split.stratify!r}, which has more than {CLASSES:,} different"
        " values; name a feature with few of them, or None",
    )
