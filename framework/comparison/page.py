"""The page of a comparison: what the runs reach, and how each differs from the first."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import markupsafe
import numpy as np
from etils import epath

from podway.framework.comparison import runs, significance
from podway.framework.comparison.runs import Differences, Group
from podway.framework.page import table as tables
from podway.framework.page import templates, whisker
from podway.framework.report import artefacts, evaluation, metrics
from podway.framework.runs import records

_HERE = pathlib.Path(__file__).parent


def write(groups: Sequence[Group], path: epath.PathLike) -> None:
    """Writes the page of what runs.report says as text."""
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(groups, path.parent))


def page(groups: Sequence[Group], folder: epath.Path) -> str:
    """The page as HTML; `folder` is where it will lie."""
    found = runs.differences(groups)
    averaged = {group.name: _average(group) for group in groups}
    selection = f"ndcg@{groups[0].runs[0].experiment.evaluation.cutoffs[0]}"
    return templates.render(
        "compare.html.j2",
        _HERE,
        title=f"Compared: {', '.join(group.name for group in groups)}",
        about=runs.users_of(groups),
        members=_members(groups, folder),
        means=_means(groups),
        seeds=_seeds(groups),
        few=min((len(group.runs) for group in groups if len(group.runs) > 1), default=runs.SEEDS)
        < runs.SEEDS,
        least=runs.SEEDS,
        drawn=_differences(found, groups),
        tables=[(each.title, _table(each)) for each in found],
        slices=metrics.slices(averaged, selection),
    )


def _members(groups: Sequence[Group], folder: epath.Path) -> list[dict[str, Any]]:
    """Which runs are in which group, with links to their pages."""
    return [
        {
            "colour": colour,
            "name": group.name,
            "runs": [
                {
                    "version": one.directory.name,
                    "seed": one.experiment.trainer.seed,
                    "report": artefacts.link(one.directory / records.PAGE, folder),
                    "evaluation": artefacts.link(one.evaluation / evaluation.PAGE, folder),
                }
                for one in group.runs
            ],
        }
        for group, (colour, *_) in zip(
            groups, metrics.key({group.name: {} for group in groups}), strict=True
        )
    ]


def _means(groups: Sequence[Group]) -> list[markupsafe.Markup]:
    """A figure for each metric: the mean of each group, with a t interval over users."""
    figures = []
    for name, per_user, k in runs.metrics_of(groups):
        rows = []
        for colour, group in enumerate(groups):
            found = significance.interval(group.users(per_user, k))
            shown = f"{found.mean:.4f}"
            told = f"{len(group.runs)} seeds" if len(group.runs) > 1 else ""
            rows.append(
                whisker.Whisker(group.name, found.mean, found.low, found.high, shown, told, colour)
            )
        figures.append(whisker.whiskers(name, rows))
    return figures


def _differences(found: Sequence[Differences], groups: Sequence[Group]) -> list[markupsafe.Markup]:
    """A figure for each metric: the difference of each group from the first."""
    figures = []
    for name, *_ in runs.metrics_of(groups):
        rows = []
        for colour, each in enumerate(found, start=1):
            *_, difference, p = each.rows[name]
            rows.append(
                whisker.Whisker(
                    each.name,
                    difference.mean,
                    difference.low,
                    difference.high,
                    f"{difference.mean:+.4f}, p {p:.2g}",
                    colour=colour,
                )
            )
        figures.append(whisker.whiskers(name, rows, zero=True, words=f"less {groups[0].name}"))
    return figures


def _table(found: Differences) -> tables.Table:
    head, *rows = runs.table_of(found)
    return tables.Table(head, [tables.cells(row) for row in rows])


def _seeds(groups: Sequence[Group]) -> tables.Table | None:
    several = [group for group in groups if len(group.runs) > 1]
    if not several:
        return None
    head = ["", *(f"{group.name} ({len(group.runs)} seeds)" for group in several)]
    rows = [
        tables.cells([name, *(runs.over_seeds(group.seeds(per_user, k)) for group in several)])
        for name, per_user, k in runs.metrics_of(groups)
    ]
    return tables.Table(head, rows)


def _average(group: Group) -> Mapping[str, Mapping[str, Any]]:
    """The metrics of a group: of one run as they are, of several their means."""
    rows = [one.metrics for one in group.runs]
    if len(rows) == 1:
        return rows[0]
    found = {}
    for name, cell in rows[0].items():
        values = [row.get(name, {}).get("value") for row in rows]
        known = [value for value in values if value is not None]
        found[name] = {"value": float(np.mean(known)) if len(known) == len(rows) else None}
        found[name] |= {"users": cell["users"]} if "users" in cell else {}
    return found
