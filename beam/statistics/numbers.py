"""Statistics of numbers: of a raw column, of times, of the lengths of lists. See statistics.py."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from podway.beam.statistics import distinct, quantiles

BINS = 4096
"""Bins of a sketch: quantiles are exact for as many distinct numbers, else good to 1 or 2 %."""
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

_SAMPLE = 1 << 16
_TOP, _TOP_SHARE = 20, 0.01
_HISTOGRAM = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Numbers:
    """Numbers of some rows.

    Attributes:
      missing: how many rows have none.
      sketch: of the others.
      registers: of distinct.py; None while the sketch is exact.
    """

    missing: int
    sketch: quantiles.Sketch
    registers: np.ndarray | None = None

    @property
    def count(self) -> int:
        """Rows, the missing ones included."""
        return self.missing + self.sketch.count

    @property
    def distinct(self) -> int:
        """Different numbers; an estimate where there are registers."""
        if self.registers is None:
            return len(self.sketch.low)
        return distinct.estimate(self.registers)


def of(values: Any, counts: Any = None) -> Numbers:
    """Describes numbers, times (int64 microseconds) or lengths of lists.

    Args:
      values: [n]; NaN is missing, and what is beyond float32's range counts as its end.
      counts: how often each occurs, integers [n]; None: once.
    """
    found = np.asarray(values, np.float64)
    often = None if counts is None else np.asarray(counts, np.int64)
    is_missing = np.isnan(found)
    missing = int(is_missing.sum() if often is None else often[is_missing].sum())
    if often is not None:
        kept = ~is_missing & (often > 0)
        found, often = found[kept], often[kept]
    elif missing:
        found = found[~is_missing]
    found = np.clip(found, -quantiles.LARGEST, quantiles.LARGEST) + 0.0  # −0.0 + 0.0 is 0.0
    if often is None:
        found = np.sort(found)
    else:
        order = np.argsort(found)
        found, often = found[order], often[order]
    made = _sketch(found, often)
    return Numbers(missing, made, None if _exact(made) else distinct.of(_unique(found)))


def _sketch(rising: np.ndarray, counts: np.ndarray | None) -> quantiles.Sketch:
    """As quantiles.of, of sorted numbers, and several times as fast where there are millions.

    A sample needs no fewer bits than all numbers, so those that it needs are all that can matter.
    """
    sample = quantiles.of(rising[:: len(rising) // _SAMPLE + 1], limit=quantiles.SMALLEST_LIMIT)
    bits = quantiles.merge([dataclasses.replace(sample, limit=BINS)]).bits
    keys = rising.view(np.uint64) >> np.uint64(52 - bits)
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    ends = np.append(starts[1:], len(rising))[: len(starts)]
    below = np.arange(len(rising) + 1) if counts is None else np.append(0, np.cumsum(counts))
    grouped = quantiles.Sketch(
        rising[starts], rising[ends - 1], below[ends] - below[starts], bits, BINS
    )
    return quantiles.merge([grouped])


def _unique(rising: np.ndarray) -> np.ndarray:
    return rising[np.append(True, rising[1:] != rising[:-1])[: len(rising)]]


def merge(parts: Sequence[Numbers]) -> Numbers:
    """All rows of all parts, of which there must be one."""
    made = quantiles.merge([part.sketch for part in parts])
    missing = sum(part.missing for part in parts)
    if _exact(made):
        return Numbers(missing, made)
    registers = [
        distinct.of(part.sketch.low) if part.registers is None else part.registers for part in parts
    ]
    return Numbers(missing, made, distinct.merge(registers))


def _exact(made: quantiles.Sketch) -> bool:
    return bool((made.low == made.high).all())


def moments(made: quantiles.Sketch) -> dict[str, float]:
    """min, max, mean, deviation, skewness and excess kurtosis; NaN where there is none."""
    names = ("min", "max", "mean", "deviation", "skewness", "kurtosis")
    if not made.count:
        return dict.fromkeys(names, math.nan)
    mean, deviation = quantiles.mean(made), quantiles.deviation(made)
    skewness = kurtosis = math.nan
    if deviation > 0:
        standard = (made.middle - mean) / deviation
        skewness = math.fsum(standard**3 * made.counts) / made.count
        kurtosis = math.fsum(standard**4 * made.counts) / made.count - 3
    found = (float(made.low[0]), float(made.high[-1]), mean, deviation, skewness, kurtosis)
    return dict(zip(names, found, strict=True))


def to_json(part: Numbers, kind: str) -> dict[str, Any]:
    """As statistics.py describes it; `kind` is "number", "time" or "length"."""
    made = part.sketch
    counts, edges = quantiles.histogram(made, _HISTOGRAM)
    described = {
        "kind": kind,
        "count": part.count,
        "missing": part.missing,
        **{name: _plain(number) for name, number in moments(made).items()},
        "quantiles": {
            f"{share:g}": _plain(number)
            for share, number in zip(QUANTILES, quantiles.quantile(made, QUANTILES), strict=True)
        },
        "distinct": part.distinct,
        "distinct_is": "exact" if part.registers is None else "estimated",
        "top": _top(made),
        "histogram": {"edges": [_plain(edge) for edge in edges], "counts": counts.tolist()},
        "sketch": _sketch_to_json(made),
    }
    if part.registers is not None:
        described["registers"] = distinct.to_text(part.registers)
    return described


def from_json(value: Mapping[str, Any]) -> Numbers:
    """The part that `to_json` was given, to the bit."""
    content, registers = value["sketch"], value.get("registers")
    return Numbers(
        value["missing"],
        quantiles.from_json({"high": content["low"], **content}),
        None if registers is None else distinct.from_text(registers),
    )


def _top(made: quantiles.Sketch) -> list[list[Any]]:
    """The numbers that stand out; a bin of several numbers tells nothing of a single one."""
    shown = (made.low == made.high) & (made.counts >= _TOP_SHARE * made.count)
    order = np.argsort(-made.counts[shown], kind="stable")[:_TOP]
    found, counts = made.low[shown][order], made.counts[shown][order]
    return [[_plain(number), int(count)] for number, count in zip(found, counts, strict=True)]


def _sketch_to_json(made: quantiles.Sketch) -> dict[str, Any]:
    """As quantiles.to_json; `high` only where it differs from `low` somewhere."""
    content = quantiles.to_json(made)
    if _exact(made):
        del content["high"]
    return {
        name: [_plain(number) for number in value] if isinstance(value, list) else value
        for name, value in content.items()
    }


def _plain(number: float) -> float | int | None:
    """A number as JSON has it, exactly: null for NaN, whole ones without a point."""
    number = float(number)
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 1 << 53 else number
