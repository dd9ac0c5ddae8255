"""The tables and plots of one feature on the statistics page."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from podway.beam.report import plot
from podway.beam.statistics import drift, numbers

Splits = Mapping[str, Mapping[str, Any]]
"""Split → statistics of one feature."""

WARN, BAD = 0.05, 0.2
"""Shares of missing or unknown values that are coloured."""
_TOP = 10


def escaped(value: Any) -> str:
    """A value as HTML text, or inside of an attribute's quotes."""
    return html.escape(str(value))


def share(told: Mapping[str, Any], key: str) -> float:
    """Of the values, those that are missing, or out of the vocabulary."""
    return told.get(key, 0) / told["count"] if told["count"] else 0.0


def of_ids(splits: Splits, distances: Mapping[str, drift.Drift]) -> str:
    """Counts, the most frequent values, and lengths."""
    head = ("", "values", "missing", "out of voc.", "distinct", "PSI")
    rows = [
        _row(
            split,
            _cells([f"{told['count']:,}"])
            + _graded(told, "missing")
            + _graded(told, "out_of_vocabulary")
            + _cells([_distinct(told)])
            + _distance(distances.get(split)),
        )
        for split, told in splits.items()
    ]
    lengths = {split: told["lengths"] for split, told in splits.items() if "lengths" in told}
    below = "<h3>Lengths of the lists</h3>" + _histogram("lengths", lengths, plot.number)
    return _table(head, rows) + _top(splits) + (below if lengths else "")


def of_numbers(name: str, splits: Splits, distances: Mapping[str, drift.Drift], timed: bool) -> str:
    """Counts and moments, a histogram, quantiles, and the most frequent values."""
    show = plot.number
    if timed:
        ends = [told[end] for told in splits.values() for end in ("min", "max")]
        found = [end for end in ends if end is not None]
        show = plot.clock(max(found, default=0) - min(found, default=0))
    head = ["", "values", "missing", "min", "median", "max"]
    if not timed:
        head = ["", "values", "missing", "PSI", "min", "median", "max", "mean"]
    rows = []
    for split, told in splits.items():
        cells = _cells([f"{told['count']:,}"]) + _graded(told, "missing")
        cells += "" if timed else _distance(distances.get(split))
        cells += _cells([show(told["min"]), show(told["quantiles"]["0.5"]), show(told["max"])])
        cells += "" if timed else _cells([show(told["mean"])])
        rows.append(_row(split, cells))
    return _table(head, rows) + _histogram(name, splits, show) + _more(splits, show)


def _more(splits: Splits, show: plot.Format) -> str:
    lines = {"distinct": [_distinct(told) for told in splits.values()]}
    for at in next(iter(splits.values()))["quantiles"]:
        lines[f"{float(at):.0%} quantile"] = [
            show(told["quantiles"][at]) for told in splits.values()
        ]
    lines["deviation"] = [_spread(told, show) for told in splits.values()]
    for name in ("skewness", "kurtosis"):
        lines[name] = [plot.number(told[name]) for told in splits.values()]
    rows = [f"<tr><td>{name}</td>{_cells(cells)}</tr>" for name, cells in lines.items()]
    inner = _table(("", *splits), rows) + _top(splits)
    return f"<details><summary>Quantiles and frequent values</summary>{inner}</details>"


def _spread(told: Mapping[str, Any], show: plot.Format) -> str:
    """The deviation; of times in days."""
    if show is plot.number or told["deviation"] is None:
        return plot.number(told["deviation"])
    return f"{plot.number(told['deviation'] / plot.DAY)} days"


def _graded(told: Mapping[str, Any], key: str) -> str:
    """A cell with a share, coloured where it is high."""
    part = share(told, key)
    grade = "bad" if part >= BAD else "warn" if part >= WARN else ""
    return f'<td class="{grade}" title="{told.get(key, 0):,} of {told["count"]:,}">{part:.2%}</td>'


def _distance(found: drift.Drift | None) -> str:
    if found is None or found.verdict == "unjudged":
        return "<td></td>"
    grade = {"drift": "bad", "warning": "warn"}.get(found.verdict, "")
    told = f"JS {found.js:.3f}; {found.moved}"
    return f'<td class="{grade}" title="{escaped(told)}">{found.psi:.3f}</td>'


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    cells = "".join(f"<th>{escaped(name)}</th>" for name in head)
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(split: str, cells: str) -> str:
    return f'<tr><td class="dot c-{escaped(split)}">{escaped(split)}</td>{cells}</tr>'


def _cells(values: Sequence[str]) -> str:
    return "".join(f"<td>{escaped(value)}</td>" for value in values)


def _distinct(told: Mapping[str, Any]) -> str:
    sign = {"estimated": "≈ ", "at_least": "≥ "}.get(told["distinct_is"], "")
    return f"{sign}{told['distinct']:,}"


def _histogram(name: str, splits: Splits, show: plot.Format) -> str:
    sketches = {split: numbers.from_json(told).sketch for split, told in splits.items()}
    bars = plot.histogram(sketches, show)
    return plot.svg(bars, name) if bars else '<p class="soft">no numbers</p>'


def _top(splits: Splits) -> str:
    """The most frequent values, those of train first, with a bar for each split."""
    labels: dict[Any, str] = {}
    counts: dict[str, dict[Any, int]] = {}
    for split, told in splits.items():
        counts[split] = {}
        for *one, value, count in told["top"]:
            key = one[0] if one else value
            shown = value if one else plot.number(value)
            labels.setdefault(key, f"id {key}" if shown is None else shown)
            counts[split][key] = count
    if not labels:
        return ""
    if max(max(part.values(), default=0) for part in counts.values()) == 1 and len(labels) > 1:
        return '<p class="soft">each value occurs once</p>'
    shares = {
        key: {
            split: part[key] / splits[split]["count"]
            for split, part in counts.items()
            if key in part
        }
        for key in list(labels)[:_TOP]
    }
    most = max(part for found in shares.values() for part in found.values())
    rows = []
    for key, found in shares.items():
        widths = {split: 100 * found.get(split, 0) / most for split in splits}
        bars = "".join(
            f'<i class="c-{escaped(split)}" style="width:{width:.1f}%"></i>'
            for split, width in widths.items()
        )
        told = "\n".join(f"{split}: {part:.3%}" for split, part in found.items())
        rows.append(
            f'<tr title="{escaped(told)}"><td title="{escaped(labels[key])}">'
            f'{escaped(labels[key])}</td><td class="bars">{bars}</td>'
            f"<td>{next(iter(found.values())):.2%}</td></tr>"
        )
    distinct = max(told["distinct"] for told in splits.values())
    of_all = f" of {distinct:,}" if distinct > len(shares) else ""
    return (
        f"<h3>Most frequent values{of_all}</h3>"
        f'<table class="top"><tbody>{"".join(rows)}</tbody></table>'
    )
