"""Histograms of a feature's splits: which bins, and how they are drawn."""

import dataclasses
import itertools
import math
from collections.abc import Mapping

import markupsafe
import numpy as np

from podway.beam.statistics import quantiles as sketch
from podway.beam.statistics.numbers import moments
from podway.framework.page import axis, chart, text
from podway.framework.schema.schema import SPLITS

_BINS = 30
_FEW = 24
"""Different numbers that have a bar each."""
_SKEWED = 2.5
"""Skewness from which on the axis is compressed."""


@dataclasses.dataclass(frozen=True)
class Bars:
    """What a histogram shows.

    Attributes:
      labels: of each bar's values, for its title.
      shares: split → share of the split in each bar.
      counts: split → likewise, how many.
      ticks: (place from 0 to 1, text) along the axis.
      note: about the axis.
    """

    labels: list[str]
    shares: dict[str, list[float]]
    counts: dict[str, list[int]]
    ticks: list[tuple[float, str]]
    note: str = ""


def colour(split: str) -> str:
    """The stylesheet's class of a split."""
    return chart.colour(SPLITS.index(split))


def binned(splits: Mapping[str, sketch.Sketch], show: text.Format) -> Bars | None:
    """The numbers of some splits in the same bins; None where there are none.

    Few different numbers have a bar each. Where the distribution is skewed, the axis is linear
    around zero and logarithmic beyond (the inverse hyperbolic sine).
    """
    splits = {name: made for name, made in splits.items() if made.count}
    if not splits:
        return None
    whole = sketch.merge(list(splits.values()))
    if len(whole.low) <= _FEW:
        return _few(splits, whole.low, show)
    scale, grid = _scale(whole), _grid(whole)
    low, high = float(whole.low[0]), float(whole.high[-1])
    inset = 0.0
    if grid and not scale:  # as many of its points in each bin
        inset = grid / 2
        points = round((high - low) / grid) + 1
        each = math.ceil(points / _BINS)
        low -= inset
        high = low + grid * each * math.ceil(points / each)
        edges = np.linspace(low, high, math.ceil(points / each) + 1)
    elif scale:
        start, end = math.asinh(low / scale), math.asinh(high / scale)
        edges = scale * np.sinh(np.linspace(start, end, _BINS + 1))
    else:
        edges = np.linspace(low, high, _BINS + 1)
    edges[0], edges[-1] = low, high  # not rounded, or the ends would fall out
    counts = {name: sketch.histogram(made, list(edges))[0] for name, made in splits.items()}
    return Bars(
        labels=[
            _range(show(a + inset), show(b - inset)) for a, b in itertools.pairwise(edges.tolist())
        ],
        shares={name: (found / max(found.sum(), 1)).tolist() for name, found in counts.items()},
        counts={name: found.tolist() for name, found in counts.items()},
        ticks=_ticks(low, high, scale, show),
        note="axis compressed" if scale else "",
    )


def _range(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _few(splits: Mapping[str, sketch.Sketch], values: np.ndarray, show: text.Format) -> Bars:
    counts = {}
    for name, made in splits.items():
        found = np.zeros(len(values), np.int64)
        found[np.searchsorted(values, made.low)] = made.counts
        counts[name] = found
    labels = [show(value) for value in values.tolist()]
    step = -(-len(labels) * max(map(len, labels)) // 60)
    return Bars(
        labels=labels,
        shares={name: (found / found.sum()).tolist() for name, found in counts.items()},
        counts={name: found.tolist() for name, found in counts.items()},
        ticks=[
            ((place + 0.5) / len(labels), label)
            for place, label in enumerate(labels)
            if place % step == 0
        ],
    )


def _scale(whole: sketch.Sketch) -> float:
    """Where a compressed axis turns logarithmic; 0: it is not compressed."""
    if not abs(moments(whole)["skewness"]) > _SKEWED:
        return 0.0
    size = np.abs(whole.middle)
    sizes = sketch.of(size[size > 0], whole.counts[size > 0])
    return float(sketch.quantile(sizes, 0.1))


def _grid(whole: sketch.Sketch) -> float:
    """What all numbers, as float32, are a multiple of apart, like 1 or 0.01; 0: nothing."""
    if (whole.low != whole.high).any():
        return 0.0
    gaps = np.diff(whole.low)
    least = float(gaps.min())
    error = 1e-6 * np.abs(whole.low).max() / least
    return (
        least
        if error < 0.1 and (np.abs(gaps / least - np.round(gaps / least)) <= 2 * error).all()
        else 0.0
    )


def _ticks(low: float, high: float, scale: float, show: text.Format) -> list[tuple[float, str]]:
    span = high - low
    if show in (text.time, text.day):
        return [(at, show(low + at * span)) for at in (0.12, 0.5, 0.88)]
    if not scale:
        values, step = axis.nice(low, high)
        places = [min(max((value - low) / span, 0.0), 1.0) for value in values]
        return list(zip(places, text.ticks(values, step), strict=True))
    start, end = math.asinh(low / scale), math.asinh(high / scale)
    powers = [10.0**power for power in range(math.floor(math.log10(scale)), 39)]
    sizes = [factor * power for factor in (1, 2, 5) for power in powers]
    kept: list[tuple[float, str]] = []
    for value in [0.0, *(sign * size for size in sizes for sign in (1, -1))]:
        place = (math.asinh(value / scale) - start) / (end - start)
        if 0 <= place <= 1 and all(abs(place - other) > 0.1 for other, _ in kept):
            kept.append((place, show(value)))
    return kept


def figure(bars: Bars, name: str) -> markupsafe.Markup:
    """The picture; the page says which colour is whose."""
    told = {
        split: [
            f"{share:.2%} ({count:,})"
            for share, count in zip(shares, bars.counts[split], strict=True)
        ]
        for split, shares in bars.shares.items()
    }
    given = chart.Bars(
        bars.labels,
        bars.shares,
        told,
        bars.ticks,
        {split: SPLITS.index(split) for split in bars.shares},
        bars.note,
    )
    return chart.bars(f"Histogram of {name}", given, caption=False, show=text.percents, cut=True)
