"""Drift: how far a feature's distribution is from that of a reference.

Both sides are put into the same bins. Numbers: 10 bins of about equal frequency in the reference; a
number that is a tenth of it or more has a bin of its own. Ids: a bin for each value that is a
twentieth of the reference or more, 10 bins for the others, divided by a hash of the value: were
they chosen by their counts, or by what the reference happens to have, rare values would move by
mere chance. (That values are new is told by check.py, which knows the vocabularies.) Missing values
and those out of the vocabulary have a bin each. Then

    psi   population stability index, Σ (q − p) · ln(q / p), of shares with half a row added to each
          bin on both sides, so that an empty one is finite
    js    Jensen–Shannon distance, √(entropy of the mean − mean of the entropies), base 2, 0 … 1

Equal distributions give values above 0 by chance: psi ≈ (1/n + 1/m) · χ² with bins − 1 degrees of
freedom (Yurdakul, 2018), and js² ≈ psi / (8 ln 2). Only what is above a limit *and* above what
chance exceeds once in a thousand times counts.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from podway.beam.statistics import ids, numbers
from podway.framework.config.limits import Limits

NUMBER_BINS = 10
ID_SHARE = 0.05

_Z = 3.0902
"""Of the standard normal distribution, exceeded with probability 0.001."""
_SMOOTHING = 0.5


@dataclasses.dataclass(frozen=True)
class Drift:
    """A feature compared with a reference.

    Attributes:
      verdict: "drift" (psi is above its limit), "warning" (only js is), "none", or "unjudged".
      psi: population stability index.
      js: Jensen–Shannon distance.
      rows: of the reference, and of the other side. Of lists: their number, not their elements'.
      moved: the bin whose share changed most, as text.
    """

    verdict: str
    psi: float
    js: float
    rows: tuple[int, int]
    moved: str


def compare(reference: Mapping[str, Any], other: Mapping[str, Any], limits: Limits) -> Drift:
    """Compares two features' statistics, as statistics.json has them.

    Raises ValueError: one has ids, the other numbers.
    """
    if (reference["kind"] == "ids") != (other["kind"] == "ids"):
        raise ValueError(f"{reference['kind']} cannot be compared with {other['kind']}")
    bin_ids = reference["kind"] == "ids"
    labels, old, new = (_id_bins if bin_ids else _number_bins)(reference, other)
    rows = (_rows(reference), _rows(other))
    if min(rows) < limits.rows or not old.sum() or not new.sum():
        return Drift("unjudged", math.nan, math.nan, rows, "")
    index, distance = psi(old, new), jensen_shannon(old, new)
    chance = (1 / rows[0] + 1 / rows[1]) * _chi_square(len(old) - 1)
    verdict = "none"
    if distance > max(limits.js, math.sqrt(chance / (8 * math.log(2)))):
        verdict = "warning"
    if index > max(limits.psi, chance):
        verdict = "drift"
    shares = old / old.sum(), new / new.sum()
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    moved = f"{labels[most]}: {shares[0][most]:.1%} → {shares[1][most]:.1%}"
    return Drift(verdict, index, distance, rows, moved)


def psi(old: np.ndarray, new: np.ndarray) -> float:
    """Population stability index of counts per bin, of the reference and of the other side."""
    p, q = ((side + _SMOOTHING) / (side + _SMOOTHING).sum() for side in (old, new))
    return math.fsum((q - p) * np.log(q / p))


def jensen_shannon(old: np.ndarray, new: np.ndarray) -> float:
    """Jensen–Shannon distance (base 2) of counts per bin; both sides have some."""
    p, q = old / old.sum(), new / new.sum()
    divergence = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
    return math.sqrt(max(divergence, 0.0))


def _entropy(shares: np.ndarray) -> float:
    positive = shares[shares > 0]
    return -math.fsum(positive * np.log2(positive))


def _chi_square(freedom: int) -> float:
    """What chance exceeds once in a thousand times (Wilson and Hilferty, 1931)."""
    if not freedom:
        return 0.0
    part = 2 / (9 * freedom)
    return freedom * (1 - part + _Z * math.sqrt(part)) ** 3


def _rows(statistics: Mapping[str, Any]) -> int:
    """Elements of one list belong together, so that lists are what is counted."""
    return statistics.get("lengths", statistics)["count"]


Bins = tuple[list[str], np.ndarray, np.ndarray]
"""Labels, and the counts of both sides."""


def _number_bins(reference: Mapping[str, Any], other: Mapping[str, Any]) -> Bins:
    old, new = (numbers.from_json(side) for side in (reference, other))
    first = _groups(old.sketch.counts, NUMBER_BINS)
    last = np.append(first[1:], len(old.sketch.low))[: len(first)] - 1
    lows, highs = old.sketch.low[first], old.sketch.high[last]
    cuts = highs[:-1] + (lows[1:] - highs[:-1]) / 2
    labels = [
        f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
        for low, high in zip(lows, highs, strict=True)
    ] or ["all numbers"]
    sides = []
    for side in (old, new):
        bin_of = np.searchsorted(cuts, side.sketch.middle)
        counts = np.zeros(len(labels), np.int64)
        np.add.at(counts, bin_of, side.sketch.counts)
        sides.append(np.append(counts, side.missing))
    return _drop_empty([*labels, "missing"], *sides)


def _id_bins(reference: Mapping[str, Any], other: Mapping[str, Any]) -> Bins:
    least = ID_SHARE * reference["count"]
    frequent = [_name(one, value) for one, value, count in reference["top"] if count >= least]
    labels = [*frequent, *(f"other values, part {part}" for part in range(ids.BUCKETS))]
    sides = []
    for side in (reference, other):
        counts = dict.fromkeys(frequent, 0)
        buckets = np.array(side["rest"]["buckets"], np.int64)
        for one, value, count in side["top"]:
            if (name := _name(one, value)) in counts:
                counts[name] = count
            else:
                buckets[ids.bucket(value, one)] += count
        known = [*counts.values(), *buckets]
        sides.append(np.array([*known, side["missing"], side["out_of_vocabulary"]], np.int64))
    return _drop_empty([*labels, "missing", "out of vocabulary"], *sides)


def _name(one: int, value: str | None) -> str:
    """Of a value: ids of two vocabularies mean different values, so its text if it has one."""
    return f"id {one}" if value is None else repr(value)


def _groups(counts: np.ndarray, bins: int) -> np.ndarray:
    """Where groups of neighbours begin, int64: each has 1/bins of all, or ends before one that has.

    A neighbour that has as much by itself is a group of its own.
    """
    share = int(counts.sum()) / bins
    starts, held = [], math.inf
    for index, count in enumerate(counts.tolist()):
        if held >= share or count >= share:
            starts.append(index)
            held = 0
        held += count
    return np.array(starts, np.int64)


def _drop_empty(labels: Sequence[str], old: np.ndarray, new: np.ndarray) -> Bins:
    """Without the bins that neither side has."""
    some = (old + new) > 0
    return [label for label, kept in zip(labels, some, strict=True) if kept], old[some], new[some]
