"""Metrics as pages show them: tiles, tables, dots with whiskers, bars of slices.

Of a table {model: {metric: {"value", "low", "high"}}}, the first model's metrics give the rows; a
metric of a slice is called "METRIC [SLICE]".
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import markupsafe

from podway.framework.page import chart, text, whisker
from podway.framework.page import table as tables
from podway.framework.page.frame import colour
from podway.framework.report.artefacts import Cell, is_number

Results = Mapping[str, Mapping[str, Cell]]

NOT_FINITE = "not finite"
HEADLINES = 4
"""Metrics that have a tile."""
_SLICE = re.compile(r"(.*) \[(.*)\]")


def number(value: Any) -> str:
    """A value as the tables have it: four digits behind the point, while these say something."""
    if not is_number(value):
        return NOT_FINITE
    return text.number(value) if abs(value) >= 10_000 or 0 < abs(value) < 1e-4 else f"{value:.4f}"


def interval(cell: Cell) -> str:
    """A metric's interval; empty where it has none."""
    low, high = cell.get("low"), cell.get("high")
    return f"[{number(low)}, {number(high)}]" if is_number(low) and is_number(high) else ""


def shown(cell: Cell | None) -> str:
    """A metric and its interval; a dash where there is none."""
    return "–" if cell is None else f"{number(cell.get('value'))} {interval(cell)}".strip()


def whole(row: Mapping[str, Cell]) -> list[str]:
    """The metrics that are of all examples."""
    return [name for name in row if not _SLICE.fullmatch(name)]


def headlines(row: Mapping[str, Cell], selection: str, most: int = HEADLINES) -> list[str]:
    """The metrics to tell first: the one that selects the checkpoint, and others with intervals."""
    found = [name for name in whole(row) if "low" in row[name]] or whole(row)
    first = [selection] if selection in row else []
    k = selection.rpartition("@")[2]
    alike = [name for name in found if name.rpartition("@")[2] == k] if "@" in selection else []
    return list(dict.fromkeys([*first, *alike, *found]))[:most]


def tiles(row: Mapping[str, Cell], names: Iterable[str], of: str) -> list[tuple[str, str, str]]:
    """Boxes with some metrics; `of` says what they are of."""
    return [
        (f"{name}, {of}", number(row[name].get("value")), interval(row[name])) for name in names
    ]


def table(results: Results, own: str = "") -> tables.Table:
    """A column for each model, a row for each metric that is not of a slice; `own` is marked."""
    first = next(iter(results.values()))
    rows = []
    for name in whole(first):
        users = f" ({first[name]['users']:,} users)" if is_number(first[name].get("users")) else ""
        cells = [
            tables.Cell(shown(row.get(name)), _style(row.get(name), mine=model == own))
            for model, row in results.items()
        ]
        rows.append([tables.Cell(name + users), *cells])
    return tables.Table(["", *results], rows)


def _style(cell: Cell | None, *, mine: bool) -> str:
    if cell is not None and not is_number(cell.get("value")):
        return "bad"
    return "own" if mine else ""


def whiskers(results: Results, names: Iterable[str]) -> list[markupsafe.Markup]:
    """A figure for each metric: a row a model."""
    figures = []
    for name in names:
        rows = [
            whisker.Whisker(
                model,
                row[name].get("value"),
                row[name].get("low"),
                row[name].get("high"),
                number(row[name].get("value")),
                colour=at,
            )
            for at, (model, row) in enumerate(results.items())
            if name in row
        ]
        figures.append(whisker.whiskers(name, rows))
    return figures


@dataclasses.dataclass(frozen=True)
class Slices:
    """Figures of bars, one for each metric and kind of slices: of one metric, and of the others."""

    first: Sequence[markupsafe.Markup]
    others: Sequence[markupsafe.Markup]


def slices(results: Results, selection: str) -> Slices:
    """The slices that a table has, those of the metric that selects first; a colour a model."""
    first = next(iter(results.values()), {})
    groups: dict[tuple[str, str], list[str]] = {}
    for name in first:
        if match := _SLICE.fullmatch(name):
            metric, part = match.groups()
            groups.setdefault((metric, part.partition(" ")[0]), []).append(name)
    metrics = [metric for metric, _ in groups]
    chosen = selection if selection in metrics else metrics[0] if metrics else ""
    figures = {one: _bars(*one, names, results) for one, names in groups.items()}
    return Slices(
        [figure for (metric, _), figure in figures.items() if metric == chosen],
        [figure for (metric, _), figure in figures.items() if metric != chosen],
    )


def _bars(metric: str, kind: str, names: Sequence[str], results: Results) -> markupsafe.Markup:
    cells = {
        model: [row.get(name, {}) for name in names]
        for model, row in results.items()
        if any(name in row for name in names)
    }
    labels = [name[len(metric) + 2 + len(kind) : -1].strip() or kind for name in names]
    first = next(iter(results.values()))
    users = [first[name].get("users") for name in names]
    named = [
        f"{label} ({count:,})" if is_number(count) else label
        for label, count in zip(labels, users, strict=True)
    ]
    given = chart.Bars(
        named,
        {model: [cell.get("value") for cell in row] for model, row in cells.items()},
        {model: [shown(cell) if cell else "–" for cell in row] for model, row in cells.items()},
        spans={
            model: [(cell["low"], cell["high"]) if interval(cell) else None for cell in row]
            for model, row in cells.items()
        },
    )
    return chart.bars(f"{metric} by {kind}", given)


def key(results: Results) -> list[tuple[str, str, str]]:
    """Which colour is whose."""
    return [(colour(at), model, "") for at, model in enumerate(results)]


def relative(value: float, other: float) -> str:
    """A value less another one, in percent of that."""
    return f"{100 * (value / other - 1):+.1f} %" if other and math.isfinite(value / other) else ""
