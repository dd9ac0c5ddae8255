"""The metrics of a run over its steps: which curves belong together, and what is a number alone."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import markupsafe

from podway.framework.page import chart, text
from podway.framework.report.artefacts import is_number

Points = list[tuple[float, Any]]

LOSS = "loss"
_VALIDATION = "validation/"
_LIKE_LOSS = ("nll", "logloss")
"""Validation metrics in the unit of the loss of the models that have them: nats."""
_PIECES = 1000
"""Pieces of a long line, of each of which the first, lowest, highest and last point are drawn."""
_PER_USER = ("hr", "ndcg", "mrr")
"""Metrics of one scale, which share a chart per cutoff."""


@dataclasses.dataclass(frozen=True)
class Curves:
    """What the records of a run show.

    Attributes:
      first: figures of the loss and of the validation, over the same steps.
      others: a figure for each of the others.
      single: names and values of what has one value alone.
    """

    first: Sequence[markupsafe.Markup]
    others: Sequence[markupsafe.Markup]
    single: Sequence[tuple[str, str]]


def of(records: Sequence[Mapping[str, Any]], selection: str, selected: int | None) -> Curves:
    """The curves of a run.

    Args:
      records: of metrics.jsonl.
      selection: the validation metric that selects the checkpoint.
      selected: the step of that checkpoint, which the first figures point out.
    """
    series = _series(records)
    single = [
        (name, text.number(points[-1][1])) for name, points in series.items() if _is_single(points)
    ]
    groups: dict[str, list[str]] = {}
    for name, points in series.items():
        if not _is_single(points):
            groups.setdefault(_group(name), []).append(name)
    ours = _group(_VALIDATION + selection)
    if ours not in groups or ours == LOSS:
        ours = next((name for name in groups if name.startswith(_VALIDATION)), LOSS)
    steps = [record["step"] for record in records]
    shared = {
        "along": [0, max(steps)] if steps else [],
        "marks": [(selected, f"selected: step {selected:,}")] if selected else [],
    }
    first = [name for name in dict.fromkeys([LOSS, ours]) if name in groups]
    return Curves(
        first=[_figure(name, groups[name], series, **shared) for name in first],
        others=[
            _figure(name, names, series) for name, names in groups.items() if name not in first
        ],
        single=single,
    )


def last(records: Sequence[Mapping[str, Any]], name: str) -> tuple[int, float] | None:
    """The last step that has a number of this name, and that."""
    for record in reversed(records):
        if is_number(record.get(name)):
            return record["step"], record[name]
    return None


def _series(records: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    """Metric → its (step, value)."""
    series: dict[str, Points] = {}
    for record in records:
        for name, value in record.items():
            if name != "step":
                series.setdefault(name, []).append((record["step"], value))
    return {name: _thinned(points) for name, points in series.items()}


def _thinned(points: Points) -> Points:
    """As many points as a picture can show, with the extremes and the gaps."""
    size = len(points) // _PIECES
    if size < 2 * 4:
        return points
    kept: Points = []
    for start in range(0, len(points), size):
        piece = points[start : start + size]
        known = [at for at, (_, value) in enumerate(piece) if is_number(value)]
        gap = next((at for at, (_, value) in enumerate(piece) if not is_number(value)), 0)
        ends = {0, gap, len(piece) - 1}
        if known:
            ends |= {
                min(known, key=lambda at: piece[at][1]),
                max(known, key=lambda at: piece[at][1]),
            }
        kept += [piece[at] for at in sorted(ends)]
    return kept


def _is_single(points: Points) -> bool:
    return len(points) == 1 and is_number(points[0][1])


def _group(name: str) -> str:
    """What a metric's chart is called: those of one chart have one name."""
    if not name.startswith(_VALIDATION):
        return name
    metric = name.removeprefix(_VALIDATION)
    if metric.rpartition("/")[2] in _LIKE_LOSS:
        return LOSS
    base, _, k = metric.rpartition("@")
    if base in _PER_USER:
        return f"{_VALIDATION}@{k}"
    return _VALIDATION + (base or metric.rpartition("/")[2])


def _figure(
    group: str, names: Sequence[str], series: Mapping[str, Points], **options: Any
) -> markupsafe.Markup:
    lines = [chart.Series(_name(name, group), series[name]) for name in names]
    title = group.removeprefix(_VALIDATION)
    if group.startswith(_VALIDATION):
        title = f"validation {title}" if title.startswith("@") else f"validation: {title}"
    return chart.lines(title, lines, x="step", **options)


def _name(name: str, group: str) -> str:
    """What a line is called in its chart."""
    if group != LOSS:
        return name.removeprefix(_VALIDATION)
    return f"validation: {name.removeprefix(_VALIDATION)}" if name != LOSS else "training"
