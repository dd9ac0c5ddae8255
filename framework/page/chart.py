"""Charts as SVG: lines over an axis, and bars side by side. No script, nothing to download.

Both return a figure of HTML for a template. What cannot be drawn (NaN, None, infinities, what is
not positive on a logarithmic axis) is a gap, and a chart without anything to draw says so.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import markupsafe

from podway.framework.page import axis, text
from podway.framework.page.frame import LETTER, WIDTH, Frame, colour, figure

_DOTS = 60
"""Points up to which each has a dot, which says its numbers."""
_DENSE = 1200
"""Points of a line above which each column of the picture keeps the extremes alone."""
_CUT_FROM = 6
"""Bars among which a single one may be cut."""


@dataclasses.dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
      name: of what it shows.
      points: (x, y), in the order in which they are joined.
      band: (x, low, high) of the area about it, a confidence interval for example.
    """

    name: str
    points: Sequence[tuple[Any, Any]]
    band: Sequence[tuple[Any, Any, Any]] = ()


@dataclasses.dataclass(frozen=True)
class Bars:
    """Groups of bars, one bar a series.

    Attributes:
      labels: of each group.
      heights: series → the height of its bar in each group.
      told: series → what hovering says of each height; without, the numbers.
      ticks: (place from 0 to 1, text) along the axis; without, the labels that there is room for.
      colours: series → number of its colour; without, in their order.
      note: about the axis.
      spans: series → (low, high) about each height, a confidence interval for example; None: none.
    """

    labels: Sequence[str]
    heights: Mapping[str, Sequence[Any]]
    told: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    ticks: Sequence[tuple[float, str]] | None = None
    colours: Mapping[str, int] = dataclasses.field(default_factory=dict)
    note: str = ""
    spans: Mapping[str, Sequence[tuple[Any, Any] | None]] = dataclasses.field(default_factory=dict)


# ------------------------------------------------------------------------------------------ lines


def lines(
    title: str,
    series: Sequence[Series],
    *,
    x: str = "",
    y: str = "",
    log_x: bool = False,
    log_y: bool = False,
    along: Sequence[Any] = (),
    marks: Sequence[tuple[Any, str]] = (),
    height: int = 220,
) -> markupsafe.Markup:
    """A figure of some lines, with what each spans and ends at in words.

    Args:
      title: its caption.
      series: the lines; of several, the key says which is which.
      x: what the axis along the bottom shows.
      y: likewise the one upwards.
      log_x: whether that is logarithmic.
      log_y: likewise.
      along: numbers that the axis along the bottom shall have, too: so that several charts have
        the same.
      marks: (x, text) of places along the bottom to point out.
      height: of the picture, which is WIDTH wide and scales to the room that it has.
    """
    shown = [at for one in series for at, *_ in (*one.points, *one.band)]
    across = axis.fitted([*along, *shown], log=log_x, each=True)
    up = axis.fitted(
        [to for one in series for _, *values in (*one.points, *one.band) for to in values],
        log=log_y,
        pad=0.05,
    )
    frame = Frame(across.ticks, up.ticks, height, x, y)

    def place(point: Sequence[Any]) -> tuple[float, ...]:
        at, *values = point
        return (frame.x(across.place(at)), *(frame.y(up.place(value)) for value in values))

    drawn = []
    for number, one in enumerate(series):
        places = [place(point) for point in one.points]
        runs = _runs(places)
        shown = [
            {"x": at, "y": to, "told": _told_point(one.name, x, point)}
            for point, (at, to) in zip(one.points, places, strict=True)
            if not math.isnan(at + to)
        ]
        alone = {run[0] for run in runs if len(run) == 1}
        if len(shown) > _DOTS:
            shown = [dot for dot in shown if (dot["x"], dot["y"]) in alone]
        drawn.append(
            {
                "colour": colour(number),
                "bands": [_area(run) for run in _runs(map(place, one.band)) if len(run) > 1],
                "paths": [_path(_thinned(run)) for run in runs if len(run) > 1],
                "dots": shown,
            }
        )
    told = [_told(one, x, log_x, log_y) for one in series]
    key = [(colour(at), one.name, told[at]) for at, one in enumerate(series)]
    return figure(
        title,
        frame,
        lines=drawn,
        note="" if any(one["paths"] or one["dots"] for one in drawn) else "no numbers",
        key=key if len(series) > 1 else [],
        marks=[
            {"x": at, "told": told, "left": at > frame.left + frame.inner / 2}
            for at, told in ((frame.x(across.place(place)), told) for place, told in marks)
            if not math.isnan(at)
        ],
        words="; ".join(told) if len(series) == 1 else "",
        described="; ".join(f"{one.name}: {each}" for one, each in zip(series, told, strict=True)),
    )


def _runs(places: Any) -> list[list[tuple[float, ...]]]:
    """The stretches between gaps."""
    grouped = itertools.groupby(places, key=lambda place: not math.isnan(sum(place)))
    return [list(group) for real, group in grouped if real]


def _thinned(run: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Of each column of a dense line the first, lowest, highest and last point, in their order."""
    if len(run) <= _DENSE:
        return list(run)
    kept = []
    for _, group in itertools.groupby(run, key=lambda place: round(place[0])):
        column = list(group)
        order = range(len(column))
        ends = {min(order, key=lambda at: column[at][1]), max(order, key=lambda at: column[at][1])}
        kept += [column[at] for at in sorted({0, *ends, len(column) - 1})]
    return kept


def _path(run: Sequence[tuple[float, ...]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in run)


def _area(run: Sequence[tuple[float, ...]]) -> str:
    around = [(x, low) for x, low, _ in run] + [(x, high) for x, _, high in reversed(run)]
    return f"{_path(around)}Z"


def _told_point(name: str, x: str, point: tuple[Any, Any]) -> str:
    at, to = (text.number(axis.real(value)) for value in point)
    return f"{name}: {to}\n{x} {at}".strip()


def _told(series: Series, x: str, log_x: bool, log_y: bool) -> str:
    """What a line spans, and where it ends."""
    points = [(axis.real(at, log_x), axis.real(to, log_y)) for at, to in series.points]
    points = [point for point in points if not math.isnan(sum(point))]
    if not points:
        return "no numbers"
    steps, values = ([point[part] for point in points] for part in (0, 1))
    first, last, low, high, end = map(
        text.number, (min(steps), max(steps), min(values), max(values), values[-1])
    )
    where = f"{x} {first}" if first == last else f"{x} {first} to {last}"
    if len(points) == 1:
        return f"{end} at {where.strip()}"
    return f"{low} to {high}, at last {end}; {where.strip()}"


# ------------------------------------------------------------------------------------------- bars


def bars(
    title: str,
    given: Bars,
    *,
    caption: bool = True,
    y: str = "",
    show: axis.Labels = text.ticks,
    cut: bool = False,
    height: int = 170,
) -> markupsafe.Markup:
    """A figure of bars: a histogram, or categories.

    Args:
      title: what it is called.
      given: the bars.
      caption: whether the page shows the title and the key; if not, it says both elsewhere.
      y: what the axis upwards shows.
      show: what its ticks say.
      cut: whether a single bar that dwarfs many others may be cut, and says how high it is.
      height: of the picture, which is WIDTH wide and scales to the room that it has.
    """
    heights = {name: list(map(axis.real, each)) for name, each in given.heights.items()}
    groups = list(zip(*heights.values(), strict=True)) if given.labels else []
    tallest = [max((v for v in group if not math.isnan(v)), default=0.0) for group in groups]
    every = [value for group in groups for value in group]
    most = _end(tallest) if cut else max(tallest, default=0.0)
    ends = [axis.real(end) for each in given.spans.values() for span in each for end in span or ()]
    ends = [] if cut else [end for end in ends if not math.isnan(end)]
    low = min((value for value in (*every, *ends) if value < 0), default=0.0)
    most = max(most, 0.0, *ends) or (0.0 if low else 1.0)
    up = axis.fitted([low, most], count=3, show=show)
    ticks = _label_ticks(given.labels) if given.ticks is None else given.ticks
    frame = Frame(ticks, up.ticks, height, "", y)
    slot = frame.inner / max(len(groups), 1)
    wide = min((slot - min(slot * 0.2, 12)) / max(len(heights), 1), 40)
    colours = {name: colour(given.colours.get(name, at)) for at, name in enumerate(heights)}
    drawn = []
    for at, group in enumerate(groups):
        middle = frame.left + (at + 0.5) * slot
        left = middle - wide * len(heights) / 2
        told = [given.labels[at]]
        rects, spans = [], []
        for number, (name, value) in enumerate(zip(heights, group, strict=True)):
            said = given.told[name][at] if name in given.told else text.number(value)
            told.append(f"{name}: {said}")
            base, top = (frame.y(up.place(to)) for to in (0.0, min(value, most)))
            if not math.isnan(value) and base != top:
                rects.append(
                    {
                        "colour": colours[name],
                        "x": left + number * wide,
                        "y": min(base, top),
                        "width": max(wide - 0.5, 0.5),
                        "height": abs(base - top),
                    }
                )
            span = given.spans[name][at] if name in given.spans else None
            ends = [frame.y(up.place(end)) for end in span or ()]
            if ends and not math.isnan(sum(ends)) and not cut:
                where = left + (number + 0.5) * wide
                spans.append({"x": where, "low": ends[0], "high": ends[1]})
        over = tallest[at] if tallest[at] > most else None
        drawn.append(
            {
                "told": "\n".join(told),
                "x": middle - slot / 2,
                "width": slot,
                "rects": rects,
                "spans": spans,
                "over": over is not None and f"↑ {show([over], over)[0]}",
                "over_x": left + wide * len(heights) + 3,
            }
        )
    return figure(
        title,
        frame,
        caption=caption,
        groups=drawn,
        note=given.note if any(not math.isnan(value) for value in every) else "no numbers",
        key=[(colours[name], name, "") for name in heights] if len(heights) > 1 else [],
    )


def _end(tallest: Sequence[float]) -> float:
    """What the axis ends at where a single bar that dwarfs many others is cut."""
    first, second = sorted([*tallest, 0.0, 0.0])[-1:-3:-1]
    return 1.25 * second if len(tallest) > _CUT_FROM and 0 < second < first / 4 else first


def _label_ticks(labels: Sequence[str]) -> list[tuple[float, str]]:
    """As many labels as there is room for, each in the middle of its group."""
    room = WIDTH / LETTER / 1.2
    longest = int(room / 3)
    short = [one if len(one) <= longest else f"{one[: longest - 1]}…" for one in labels]
    every = math.ceil(len(short) * max(map(len, short), default=0) / room) or 1
    return [((at + 0.5) / len(short), short[at]) for at in range(0, len(short), every)]
