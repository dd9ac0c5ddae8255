"""Histograms as SVG, and numbers and times as people read them. No script, nothing to download."""

import dataclasses
import datetime
import html
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from podway.beam.statistics import quantiles as sketch
from podway.beam.statistics.numbers import moments

WIDTH, HEIGHT = 520, 170
DAY = 86_400_000_000
"""Microseconds."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 24
_BINS = 30
_FEW = 24
"""Different numbers that have a bar each."""
_CUT_FROM = 6
"""Bars among which a single one may be cut."""
_SKEWED = 2.5
"""Skewness from which on the axis is compressed."""

Format = Callable[[float], str]


@dataclasses.dataclass(frozen=True)
class Bars:
    """What a plot shows.

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


def histogram(splits: Mapping[str, sketch.Sketch], show: Format) -> Bars | None:
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


def _few(splits: Mapping[str, sketch.Sketch], values: np.ndarray, show: Format) -> Bars:
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


def _ticks(low: float, high: float, scale: float, show: Format) -> list[tuple[float, str]]:
    span = high - low
    if show in (time, day):
        return [(at, show(low + at * span)) for at in (0.12, 0.5, 0.88)]
    if not scale:
        step = _step(span / 5)
        values = step * np.arange(math.ceil(low / step), math.floor(high / step) + 1)
        return [((value - low) / span, show(value)) for value in values.tolist()]
    start, end = math.asinh(low / scale), math.asinh(high / scale)
    powers = [10.0**power for power in range(math.floor(math.log10(scale)), 39)]
    sizes = [factor * power for factor in (1, 2, 5) for power in powers]
    kept: list[tuple[float, str]] = []
    for value in [0.0, *(sign * size for size in sizes for sign in (1, -1))]:
        place = (math.asinh(value / scale) - start) / (end - start)
        if 0 <= place <= 1 and all(abs(place - other) > 0.1 for other, _ in kept):
            kept.append((place, show(value)))
    return kept


def _step(least: float) -> float:
    """1, 2 or 5 times a power of ten, no less than `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)


def svg(bars: Bars, name: str) -> str:
    """The plot; colours come from the classes `train`, `validation` and `test`."""
    inner, bottom = WIDTH - _LEFT - _RIGHT, HEIGHT - _BOTTOM
    most = _height([max(each) for each in zip(*bars.shares.values(), strict=True)])
    slot = inner / len(bars.labels)
    gap = min(slot * 0.2, 12)
    wide = min((slot - gap) / len(bars.shares), 40)
    parts = [_lines(most, bottom)]
    for place, label in enumerate(bars.labels):
        middle = _LEFT + (place + 0.5) * slot
        left = middle - wide * len(bars.shares) / 2
        told = [
            f"{split}: {shares[place]:.2%} ({bars.counts[split][place]:,})"
            for split, shares in bars.shares.items()
        ]
        rects = "".join(
            f'<rect class="{split}" x="{left + at * wide:.1f}" width="{max(wide - 0.5, 0.5):.1f}"'
            f' y="{bottom - tall:.1f}" height="{tall:.1f}"/>'
            for at, (split, shares) in enumerate(bars.shares.items())
            if (tall := min(shares[place] / most, 1) * (bottom - _TOP)) > 0
        )
        hover = (
            f'<rect class="hover" x="{middle - slot / 2:.1f}" width="{slot:.1f}" y="{_TOP}"'
            f' height="{bottom - _TOP}"/>'
        )
        title = html.escape("\n".join([label, *told]))
        parts.append(f"<g><title>{title}</title>{hover}{rects}</g>")
        if (share := max(shares[place] for shares in bars.shares.values())) > most:
            parts.append(
                f'<text class="cut" x="{left + wide * len(bars.shares) + 3:.1f}" y="{_TOP + 8}">'
                f"↑ {share:.0%}</text>"
            )
    for place, text in bars.ticks:
        x = _LEFT + place * inner
        parts.append(
            f'<path class="tick" d="M{x:.1f} {bottom}v4"/>'
            f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(text)}</text>'
        )
    if bars.note:
        parts.append(
            f'<text class="note" x="{WIDTH - _RIGHT}" y="{_TOP + 8}" text-anchor="end">'
            f"{html.escape(bars.note)}</text>"
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{html.escape(f"Histogram of {name}")}">{"".join(parts)}</svg>'
    )


def _height(shares: list[float]) -> float:
    """What the axis ends at: a single bar that dwarfs many others is cut."""
    first, second = sorted([*shares, 0.0])[-1:-3:-1]
    if len(shares) > _CUT_FROM and 0 < second < first / 4:
        return 1.25 * second
    return first or 1.0


def _lines(most: float, bottom: int) -> str:
    step = _step(most / 3)
    lines = []
    for count in range(math.floor(most / step * 1.001) + 1):
        share = count * step
        y = bottom - share / most * (bottom - _TOP)
        digits = max(0, -math.floor(math.log10(step * 100) + 1e-9))
        lines.append(
            f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
            f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{share:.{digits}%}</text>'
        )
    return "".join(lines)


def number(value: Any) -> str:
    """A number with four significant digits; nothing for None."""
    if value is None:
        return ""
    if value and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.3g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def time(value: Any) -> str:
    """Microseconds since 1970 as a day and a time of day (UTC); nothing for None."""
    return "" if value is None else f"{_moment(value):%Y-%m-%d %H:%M}"


def day(value: Any) -> str:
    """Microseconds since 1970 as a day (UTC); nothing for None."""
    return "" if value is None else f"{_moment(value):%Y-%m-%d}"


def clock(span: float) -> Format:
    """How times that span so many microseconds are shown."""
    return day if span > 30 * DAY else time


def _moment(value: float) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(microseconds=round(value))


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
