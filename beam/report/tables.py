"""What one feature's card shows, as data: tables, a histogram, the most frequent values."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import markupsafe

from podway.beam.report import histogram
from podway.beam.statistics import drift, numbers
from podway.framework.page import text
from podway.framework.page.table import Cell, Table, cells

Splits = Mapping[str, Mapping[str, Any]]
"""Split → statistics of one feature."""

WARN, BAD = 0.05, 0.2
"""Shares of missing or unknown values that are coloured."""
_TOP = 10


@dataclasses.dataclass(frozen=True)
class Frequent:
    """A frequent value.

    Attributes:
      label: the value.
      share: of the first split that has it.
      widths: class of each split's colour, and the length of its bar in percent of the longest.
      told: what hovering says.
    """

    label: str
    share: str
    widths: Sequence[tuple[str, str]]
    told: str


@dataclasses.dataclass(frozen=True)
class Top:
    """The most frequent values, most frequent first; none where each value occurs once."""

    heading: str
    rows: Sequence[Frequent]


@dataclasses.dataclass(frozen=True)
class Body:
    """What a card shows below its heading.

    Attributes:
      table: a row for each split.
      top: the most frequent values, if any are known.
      histogram: of the numbers, or of the lengths of lists; None: there is nothing to count.
      lists: whether it is of lengths.
      more: quantiles and moments, which numbers alone have.
    """

    table: Table
    top: Top | None
    histogram: markupsafe.Markup | None
    lists: bool = False
    more: Table | None = None


def share(told: Mapping[str, Any], key: str) -> float:
    """Of the values, those that are missing, or out of the vocabulary."""
    return told.get(key, 0) / told["count"] if told["count"] else 0.0


def of_ids(splits: Splits, distances: Mapping[str, drift.Drift]) -> Body:
    """Counts, the most frequent values, and lengths."""
    head = ("", "values", "missing", "out of voc.", "distinct", "PSI")
    rows = [
        [
            _split(split),
            Cell(f"{told['count']:,}"),
            _graded(told, "missing"),
            _graded(told, "out_of_vocabulary"),
            Cell(_distinct(told)),
            _distance(distances.get(split)),
        ]
        for split, told in splits.items()
    ]
    lengths = {split: told["lengths"] for split, told in splits.items() if "lengths" in told}
    drawn = _histogram("lengths", lengths, text.number)
    return Body(Table(head, rows), _top(splits), drawn, lists=bool(lengths))


def of_numbers(
    name: str, splits: Splits, distances: Mapping[str, drift.Drift], timed: bool
) -> Body:
    """Counts and moments, a histogram, quantiles, and the most frequent values."""
    show = text.number
    if timed:
        ends = [told[end] for told in splits.values() for end in ("min", "max")]
        found = [end for end in ends if end is not None]
        show = text.clock(max(found, default=0) - min(found, default=0))
    head = ["", "values", "missing", "min", "median", "max"]
    if not timed:
        head = ["", "values", "missing", "PSI", "min", "median", "max", "mean"]
    rows = []
    for split, told in splits.items():
        row = [_split(split), Cell(f"{told['count']:,}"), _graded(told, "missing")]
        row += [] if timed else [_distance(distances.get(split))]
        row += cells([show(told["min"]), show(told["quantiles"]["0.5"]), show(told["max"])])
        row += [] if timed else cells([show(told["mean"])])
        rows.append(row)
    drawn = _histogram(name, splits, show)
    return Body(Table(head, rows), _top(splits), drawn, more=_more(splits, show))


def _more(splits: Splits, show: text.Format) -> Table:
    lines = {"distinct": [_distinct(told) for told in splits.values()]}
    for at in next(iter(splits.values()))["quantiles"]:
        lines[f"{float(at):.0%} quantile"] = [
            show(told["quantiles"][at]) for told in splits.values()
        ]
    lines["deviation"] = [_spread(told, show) for told in splits.values()]
    for name in ("skewness", "kurtosis"):
        lines[name] = [text.number(told[name]) for told in splits.values()]
    return Table(("", *splits), [cells([name, *shown]) for name, shown in lines.items()])


def _spread(told: Mapping[str, Any], show: text.Format) -> str:
    """The deviation; of times in days."""
    if show is text.number or told["deviation"] is None:
        return text.number(told["deviation"])
    return f"{text.number(told['deviation'] / text.DAY)} days"


def _split(split: str) -> Cell:
    return Cell(split, f"dot {histogram.colour(split)}")


def _graded(told: Mapping[str, Any], key: str) -> Cell:
    """A share, coloured where it is high."""
    part = share(told, key)
    grade = "bad" if part >= BAD else "warn" if part >= WARN else ""
    return Cell(f"{part:.2%}", grade, f"{told.get(key, 0):,} of {told['count']:,}")


def _distance(found: drift.Drift | None) -> Cell:
    if found is None or found.verdict == "unjudged":
        return Cell("")
    grade = {"drift": "bad", "warning": "warn"}.get(found.verdict, "")
    return Cell(f"{found.psi:.3f}", grade, f"JS {found.js:.3f}; {found.moved}")


def _distinct(told: Mapping[str, Any]) -> str:
    sign = {"estimated": "≈ ", "at_least": "≥ "}.get(told["distinct_is"], "")
    return f"{sign}{told['distinct']:,}"


def _histogram(name: str, splits: Splits, show: text.Format) -> markupsafe.Markup | None:
    sketches = {split: numbers.from_json(told).sketch for split, told in splits.items()}
    bars = histogram.binned(sketches, show)
    return histogram.figure(bars, name) if bars else None


def _top(splits: Splits) -> Top | None:
    """The most frequent values, those of train first, with a bar for each split."""
    labels: dict[Any, str] = {}
    counts: dict[str, dict[Any, int]] = {}
    for split, told in splits.items():
        counts[split] = {}
        for *one, value, count in told["top"]:
            key = one[0] if one else value
            shown = value if one else text.number(value)
            labels.setdefault(key, f"id {key}" if shown is None else shown)
            counts[split][key] = count
    if not labels:
        return None
    if max(max(part.values(), default=0) for part in counts.values()) == 1 and len(labels) > 1:
        return Top("", [])
    shares = {
        key: {
            split: part[key] / splits[split]["count"]
            for split, part in counts.items()
            if key in part
        }
        for key in list(labels)[:_TOP]
    }
    most = max(part for found in shares.values() for part in found.values())
    rows = [
        Frequent(
            label=labels[key],
            share=f"{next(iter(found.values())):.2%}",
            widths=[
                (histogram.colour(split), f"{100 * found.get(split, 0) / most:.1f}")
                for split in splits
            ],
            told="\n".join(f"{split}: {part:.3%}" for split, part in found.items()),
        )
        for key, found in shares.items()
    ]
    distinct = max(told["distinct"] for told in splits.values())
    of_all = f" of {distinct:,}" if distinct > len(rows) else ""
    return Top(f"Most frequent values{of_all}", rows)
