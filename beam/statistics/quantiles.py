"""A summary of many numbers in bounded space, for quantiles, moments and histograms.

Numbers that agree in sign, exponent and the first `bits` bits of their mantissa share a bin, which
knows its lowest and highest number and how many there are. A sketch begins with all 52 bits, where
each distinct number has a bin of its own, and gives up bits, one by one, when it would have more
bins than its limit. So

    it is exact as long as there are no more distinct numbers than the limit;
    a bin is never wider than 2**-bits of its numbers (but for float64's subnormal ones);
    it is a function of the multiset of numbers alone: any division into parts, merged in any order,
    gives the same sketch to the bit, for `bits` is the most with which the union fits.

Relatives: HdrHistogram (Tene, 2012) has fixed bits, DDSketch (Masson et al., 2019) logarithmic
bins and an accuracy that is chosen beforehand.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

LIMIT = 1 << 14
"""Bins, unless told otherwise: 400 kB."""
SMALLEST_LIMIT = 1 << 13
"""With it all numbers fit when no mantissa bits are left."""
LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond count as this, which keeps sums of squares finite."""

_MANTISSA = 52


@dataclasses.dataclass(frozen=True, eq=False)
class Sketch:
    """Bins, rising.

    Attributes:
      low: float64 [bins], the lowest number of each.
      high: float64 [bins], the highest.
      counts: int64 [bins], how many numbers there are.
      bits: of the mantissa that are told apart, 0 to 52.
      limit: the most bins that there may be.
    """

    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray
    bits: int
    limit: int

    @property
    def count(self) -> int:
        """How many numbers have been seen."""
        return int(self.counts.sum())

    @property
    def middle(self) -> np.ndarray:
        """float64 [bins], what stands for the numbers of each bin."""
        return self.low + (self.high - self.low) / 2


def of(values: Any, counts: Any = None, limit: int = LIMIT) -> Sketch:
    """The sketch of numbers.

    Args:
      values: numbers [n], taken as float64; NaN are left out, −0.0 is 0.0, and what is beyond
        float32's range counts as its end.
      counts: how often each occurs, integers [n]; None: once.
      limit: the most bins.
    """
    if limit < SMALLEST_LIMIT:
        raise ValueError(f"a sketch's limit is {limit}; give {SMALLEST_LIMIT} or more")
    numbers = np.asarray(values, np.float64)
    if counts is None:
        numbers = numbers[~np.isnan(numbers)]
        weights = np.ones(len(numbers), np.int64)
    else:
        weights = np.asarray(counts, np.int64)
        kept = ~np.isnan(numbers) & (weights > 0)
        numbers, weights = numbers[kept], weights[kept]
    numbers = np.clip(numbers, -LARGEST, LARGEST) + 0.0  # −0.0 + 0.0 is 0.0
    return _fit(numbers, numbers, weights, _MANTISSA, limit)


def merge(sketches: Sequence[Sketch]) -> Sketch:
    """The sketch of all their numbers; `of([])` if there are no sketches.

    Raises:
      ValueError: their limits differ.
    """
    if not sketches:
        return of([])
    limits = sorted({sketch.limit for sketch in sketches})
    if len(limits) > 1:
        raise ValueError(f"sketches of the limits {limits} cannot be merged")
    return _fit(
        np.concatenate([sketch.low for sketch in sketches]),
        np.concatenate([sketch.high for sketch in sketches]),
        np.concatenate([sketch.counts for sketch in sketches]),
        min(sketch.bits for sketch in sketches),
        limits[0],
    )


def _fit(low: np.ndarray, high: np.ndarray, counts: np.ndarray, bits: int, limit: int) -> Sketch:
    """Joins bins that have one key, with as many bits, up to `bits`, as fit into the limit."""
    order = np.argsort(low, kind="stable")
    low, high, counts = low[order], high[order], counts[order]
    keys = low.view(np.uint64)
    differing = _highest_bit(keys[1:] ^ keys[:-1])
    # Neighbours whose highest differing bit is h are two bins until h is shifted out.
    bins = 1 + np.cumsum(np.bincount(differing + 1, minlength=_MANTISSA + 2)[::-1])[::-1][1:]
    shift = _MANTISSA - bits
    shift += int(np.argmax(bins[shift:] <= limit))
    starts = np.flatnonzero(np.append(True, differing >= shift)[: len(low)])
    if not len(starts):
        return Sketch(low, high, counts, bits, limit)
    return Sketch(
        low[starts],
        np.maximum.reduceat(high, starts),
        np.add.reduceat(counts, starts),
        _MANTISSA - shift,
        limit,
    )


def _highest_bit(words: np.ndarray) -> np.ndarray:
    """Position of the highest 1, int64; −1 where there is none, 52 for all from there up."""
    # Below 2**53 a float64 holds the word exactly, and its exponent is the position + 1.
    bits = np.frexp(np.minimum(words, np.uint64(1 << _MANTISSA)).astype(np.float64))[1] - 1
    return bits.astype(np.int64)


def quantile(sketch: Sketch, shares: Any) -> np.ndarray:
    """float64 of the shape of `shares`: the number of rank ceil(share · count); see `of_rank`."""
    return of_rank(sketch, np.ceil(np.asarray(shares, np.float64) * sketch.count).astype(np.int64))


def of_rank(sketch: Sketch, ranks: np.ndarray) -> np.ndarray:
    """float64 of the shape of `ranks`: the number of each rank, from 1 (the lowest) to the count.

    Within a bin numbers are taken to lie evenly from its lowest to its highest: off by no more than
    2**-bits of the number; exact for the first and the last rank, and in bins with one distinct
    number. NaN where the sketch is empty.
    """
    if not sketch.count:
        return np.full(ranks.shape, np.nan)
    ends = np.cumsum(sketch.counts)
    ranks = np.clip(ranks, 1, ends[-1])
    bin_of = np.searchsorted(ends, ranks)
    within = ranks - 1 - (ends[bin_of] - sketch.counts[bin_of])
    part = within / np.maximum(sketch.counts[bin_of] - 1, 1)
    low, high = sketch.low[bin_of], sketch.high[bin_of]
    return np.where(part == 1, high, low + (high - low) * part)


def mean(sketch: Sketch) -> float:
    """Of all numbers; off by no more than half a bin. NaN where the sketch is empty."""
    if not sketch.count:
        return math.nan
    return math.fsum(sketch.middle * sketch.counts) / sketch.count


def deviation(sketch: Sketch) -> float:
    """The (population's) standard deviation. NaN where the sketch is empty."""
    if not sketch.count:
        return math.nan
    squares = (sketch.middle - mean(sketch)) ** 2
    return math.sqrt(math.fsum(squares * sketch.counts) / sketch.count)


def histogram(sketch: Sketch, bins: int | Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Like numpy.histogram: counts int64 [n], and edges float64 [n + 1].

    A bin of the sketch counts as its middle. What lies outside of the edges is left out. Where
    float64 has fewer numbers than bins between the ends, there are fewer bins; numbers that are all
    equal have one, which begins and ends there.

    Args:
      sketch: of the numbers.
      bins: how many, of one width, between the lowest and the highest number; or their edges.
    """
    if isinstance(bins, int) and not sketch.count:
        edges = np.linspace(0.0, 1.0, bins + 1)
    elif isinstance(bins, int):
        low, high = sketch.low[0], sketch.high[-1]
        edges = np.unique(np.linspace(low, high, bins + 1)) if low < high else np.array([low, high])
    else:
        edges = np.asarray(bins, np.float64)
    below = np.append(0, np.cumsum(sketch.counts))
    positions = np.searchsorted(sketch.middle, edges, side="left")
    positions[-1] = np.searchsorted(sketch.middle, edges[-1], side="right")
    return np.diff(below[positions]), edges


def to_json(sketch: Sketch) -> dict[str, Any]:
    """The sketch as plain JSON values, exactly."""
    arrays = {"low": sketch.low, "high": sketch.high, "counts": sketch.counts}
    lists = {name: array.tolist() for name, array in arrays.items()}
    return {"bits": sketch.bits, "limit": sketch.limit, **lists}


def from_json(value: dict[str, Any]) -> Sketch:
    """The inverse of `to_json`."""
    return Sketch(
        np.array(value["low"], np.float64),
        np.array(value["high"], np.float64),
        np.array(value["counts"], np.int64),
        value["bits"],
        value["limit"],
    )
