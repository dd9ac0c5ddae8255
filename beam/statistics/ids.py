"""Statistics of ids: of a vocabulary, of hashed values, of bytes. See statistics.py."""

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from podway.beam.statistics import numbers
from podway.beam.statistics.numbers import Numbers
from podway.framework.schema.schema import (
    FIRST_VALUE,
    OUT_OF_VOCABULARY,
    PADDING,
    VOCABULARY_ROWS,
    Vocabulary,
)

LISTED = 1000
"""Values that statistics.json lists."""
BUCKETS = 10
"""Into which the values that are not listed are divided by a hash, for comparing."""

_NONE = np.zeros(64, np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class Ids:
    """Ids of some rows, or of all elements of their lists.

    Attributes:
      ids: int64 [n], rising: those that occur and are listed.
      counts: int64 [n], how often.
      lengths: of the lists; None where there are none.
      rest: how often all other ids occur: what was read from JSON does not list all.
      rest_distinct: how many those are.
      rest_occurrences: int64 [64], of those (see `_occurrences`).
      rest_buckets: int64 [BUCKETS], how often they occur, by `bucket`.
      overlapping: whether a part with a rest was merged, so that `rest_distinct` is the least
        that there can be, and `rest_occurrences` takes the parts for disjoint.
    """

    ids: np.ndarray
    counts: np.ndarray
    lengths: Numbers | None = None
    rest: int = 0
    rest_distinct: int = 0
    rest_occurrences: np.ndarray = dataclasses.field(default_factory=_NONE.copy)
    rest_buckets: np.ndarray = dataclasses.field(default_factory=_NONE[:BUCKETS].copy)
    overlapping: bool = False

    @property
    def count(self) -> int:
        """All of them, the missing ones included."""
        return int(self.counts.sum()) + self.rest

    def of(self, one: int) -> int:
        """How often an id occurs."""
        return int(self.counts[self.ids == one].sum())


def of(counts_by_id: np.ndarray, lengths: Numbers | None = None) -> Ids:
    """Describes ids: int64 [n], how often each of 0 … n − 1 occurs."""
    found = np.flatnonzero(counts_by_id)
    return Ids(found, np.asarray(counts_by_id)[found].astype(np.int64), lengths)


def merge(parts: Sequence[Ids]) -> Ids:
    """All rows of all parts, of which there must be one.

    An id that one part lists and another has in its rest keeps the first one's count: too low by
    no more than the smallest count that the other lists.
    """
    found, index = np.unique(np.concatenate([part.ids for part in parts]), return_inverse=True)
    counts = np.zeros(len(found), np.int64)
    np.add.at(counts, index, np.concatenate([part.counts for part in parts]))
    lengths = [part.lengths for part in parts if part.lengths is not None]
    least = max(_values(part.ids) + part.rest_distinct for part in parts)
    return Ids(
        found,
        counts,
        numbers.merge(lengths) if lengths else None,
        sum(part.rest for part in parts),
        max(0, least - _values(found)),
        sum((part.rest_occurrences for part in parts), _NONE),
        sum((part.rest_buckets for part in parts), _NONE[:BUCKETS]),
        any(part.overlapping or (part.rest and len(parts) > 1) for part in parts),
    )


def _values(found: np.ndarray) -> int:
    return int((found >= FIRST_VALUE).sum())


def to_json(part: Ids, vocabulary: Vocabulary | None) -> dict[str, Any]:
    """As statistics.py describes it.

    Ids from the vocabulary's end on are further out-of-vocabulary buckets; but where it fills its
    first file, more may follow, and they are taken for values.
    """
    whole = vocabulary is not None and len(vocabulary) < VOCABULARY_ROWS
    end = len(vocabulary) if whole else np.iinfo(np.int64).max  # type: ignore[arg-type]
    known = (part.ids >= FIRST_VALUE) & (part.ids < end)
    found, counts = part.ids[known], part.counts[known]
    order = np.argsort(-counts, kind="stable")
    top, others = order[:LISTED], order[LISTED:]
    words: tuple[str, ...] = () if vocabulary is None else vocabulary.values
    occurrences = _occurrences(counts[others]) + part.rest_occurrences
    described: dict[str, Any] = {
        "kind": "ids",
        "count": part.count,
        "missing": part.of(PADDING),
        "out_of_vocabulary": part.of(OUT_OF_VOCABULARY) + int(part.counts[part.ids >= end].sum()),
        "distinct": len(found) + part.rest_distinct,
        "distinct_is": "at_least" if part.overlapping else "exact",
        "top": [
            [int(one), words[one] if one < len(words) else None, int(count)]
            for one, count in zip(found[top], counts[top], strict=True)
        ],
        "rest": {
            "count": int(counts[others].sum()) + part.rest,
            "distinct": len(others) + part.rest_distinct,
            "occurrences": _trim(occurrences),
            "buckets": (
                _in_buckets(found[others], counts[others], words) + part.rest_buckets
            ).tolist(),
        },
        "occurrences": _trim(occurrences + _occurrences(counts[top])),
    }
    if part.lengths is not None:
        described["lengths"] = numbers.to_json(part.lengths, "length")
    return described


def from_json(value: Mapping[str, Any]) -> Ids:
    """The part that `to_json` was given: the listed ids, and the rest in sum."""
    listed = {PADDING: value["missing"], OUT_OF_VOCABULARY: value["out_of_vocabulary"]}
    listed |= {one: count for one, _, count in value["top"]}
    found = sorted(one for one, count in listed.items() if count)
    rest = value["rest"]
    occurrences = np.array(rest["occurrences"], np.int64)
    return Ids(
        np.array(found, np.int64),
        np.array([listed[one] for one in found], np.int64),
        numbers.from_json(value["lengths"]) if "lengths" in value else None,
        rest["count"],
        rest["distinct"],
        np.pad(occurrences, (0, len(_NONE) - len(occurrences))),
        np.array(rest["buckets"], np.int64),
        value["distinct_is"] != "exact",
    )


def bucket(value: str | None, one: int) -> int:
    """0 … BUCKETS − 1, for a value; for its id where it has no text."""
    return one % BUCKETS if value is None else zlib.crc32(value.encode()) % BUCKETS


def _in_buckets(found: np.ndarray, counts: np.ndarray, words: tuple[str, ...]) -> np.ndarray:
    """How often ids occur, by bucket: int64 [BUCKETS]."""
    bucket_of = found % BUCKETS
    known = found < len(words)
    bucket_of[known] = [bucket(words[one], one) for one in found[known].tolist()]
    # Counts below 2**53 are exact as float64, which is what bincount adds up.
    return np.bincount(bucket_of, counts, minlength=BUCKETS).astype(np.int64)


def _occurrences(counts: np.ndarray) -> np.ndarray:
    """int64 [64]: how many ids occur 2**i up to 2**(i + 1) − 1 times."""
    powers = np.frexp(counts.astype(np.float64))[1] - 1
    return np.bincount(powers, minlength=len(_NONE)).astype(np.int64)


def _trim(array: np.ndarray) -> list[int]:
    return np.trim_zeros(array, "b").tolist()
