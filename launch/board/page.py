"""The page of a workdir: datasets, runs, evaluations, models and how these came to their users."""

import collections
import datetime
import pathlib
from collections.abc import Sequence
from typing import Any

import markupsafe
from etils import epath

from podway.framework.page import templates, whisker
from podway.framework.report import artefacts, curves, metrics
from podway.framework.report import run as run_page
from podway.framework.runs import records
from podway.launch.board import operation, rows, selection
from podway.launch.board.rows import Link, Told

_HERE = pathlib.Path(__file__).parent
_DRAWN = 12
"""Runs that are drawn beside each other."""
_LIVE = 4
"""Runs in training whose curves are shown."""


def write(workdir: epath.PathLike, output: epath.PathLike) -> None:
    """Writes the page to a file, and the pages of runs that have none, or are not finished."""
    workdir, output = epath.Path(workdir), epath.Path(output)
    for run in artefacts.runs(workdir):
        if run.manifest is None or not (run.directory / records.PAGE).exists():
            run_page.write(run.directory)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page(workdir, rows.linked(output.parent)))


def page(workdir: epath.Path, link: Link, *, refresh: int = 0) -> str:
    """The page as HTML; with `refresh`, it loads itself again after so many seconds."""
    found = rows.runs(workdir)
    return templates.render(
        "board.html.j2",
        _HERE,
        script=templates.source(_HERE / "board.js"),
        title=f"Board of {workdir}",
        now=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC",
        again=refresh,
        tiles=_tiles(found),
        live=[_live(told, link) for told in found if told.run.state == "training"][:_LIVE],
        drawn=_drawn(found),
        tables=[
            rows.of_runs(found, link),
            rows.of_evaluations(found, workdir, link),
            selection.of_sweeps(workdir, link),
            selection.of_compressions(workdir, link),
            operation.of_models(workdir, link),
            operation.of_gates(workdir, link),
            operation.of_rollouts(workdir),
            rows.of_datasets(workdir, link),
        ],
    )


def _tiles(found: Sequence[Told]) -> list[tuple[str, str]]:
    states = collections.Counter(told.run.state for told in found)
    return [
        (state, f"{states[state]:,}") for state in ("training", "finished", "stopped", "failed")
    ]


def _live(told: Told, link: Link) -> dict[str, Any]:
    step, _ = told.run.validation(told.records)
    return {
        "title": f"{told.run.name} {told.run.version}",
        "link": link(told.run.directory, records.PAGE),
        "steps": rows.steps(told)[0],
        "share": rows.steps(told)[1] or 0.0,
        "figures": curves.of(told.records, told.run.selection, step).first,
    }


def _drawn(found: Sequence[Told]) -> list[markupsafe.Markup]:
    """For each dataset and metric of several evaluated runs a figure of the best of them."""
    groups: dict[tuple[str, str], list[Told]] = {}
    for told in found:
        if told.split == "test" and artefacts.is_number(told.cell.get("value")):
            key = (told.run.inputs.get("dataset", ""), told.metric)
            groups.setdefault(key, []).append(told)
    return [
        _figure(metric, version, group)
        for (version, metric), group in groups.items()
        if len(group) > 1
    ]


def _figure(metric: str, version: str, group: Sequence[Told]) -> markupsafe.Markup:
    best = sorted(group, key=lambda told: told.cell["value"], reverse=group[0].run.largest_is_best)[
        :_DRAWN
    ]
    names = collections.Counter(told.run.name for told in best)
    drawn = [
        whisker.Whisker(
            told.run.name if names[told.run.name] == 1 else f"{told.run.name} {told.run.version}",
            told.cell["value"],
            told.cell.get("low"),
            told.cell.get("high"),
            metrics.number(told.cell["value"]),
            told.run.version,
        )
        for told in best
    ]
    return whisker.whiskers(f"{metric}, test", drawn, words=f"dataset {version}")
