"""The page of a run: what it is worth, how it went, and what it was made from."""

import json
import logging
import pathlib
import statistics
from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.framework import codec
from podway.framework.page import chart, templates, text
from podway.framework.page import table as tables
from podway.framework.report import artefacts, curves, dataset, evaluation, metrics
from podway.framework.report.artefacts import Run
from podway.framework.runs import records

_HERE = pathlib.Path(__file__).parent
_LOG = logging.getLogger(__name__)
_COLOURS = {
    "step": 2,
    "compile": 0,
    "input": 1,
    "evaluate": 3,
    "checkpoint": 6,
    "restart": 4,
    "away": 5,
    "other": 7,
}
"""Of the phases of goodput.py since the first process started."""
_LATER = ("away",)
"""Phases that records of earlier versions have not."""
_OTHER = "export"
"""Part of the experiment that shapes no run."""
_CONFIG = ("model", "optimizer", "trainer", "evaluation", "mixture", "mesh")
"""Parts of the experiment that the page shows whole."""


def close(directory: epath.Path, problem: BaseException | None) -> None:
    """Writes down that the training of a run ends, and why, where that is a failure; and its page.

    What ends it by request, KeyboardInterrupt for example, is no failure.
    """
    failed = isinstance(problem, Exception)
    records.end(directory, (str(problem) or type(problem).__name__) if failed else "")
    write(directory)


def write(directory: epath.PathLike) -> None:
    """Writes the page of a run, finished or not, into its folder, or leaves it as it is.

    What goes wrong with a page is logged, and stops nothing.
    """
    directory = epath.Path(directory)
    try:
        found = artefacts.run(directory)
        listed = found.manifest.files if found.manifest else ()
        if all(file.path != records.PAGE for file in listed):  # as an earlier Podway committed it
            (directory / records.PAGE).write_text(page(found))
    except OSError as error:
        _LOG.warning("the page of %s could not be written: %s", directory, error)
    except Exception:
        _LOG.warning("the page of %s could not be made", directory, exc_info=True)


def page(run: Run, *, refresh: int | None = None) -> str:
    """The page as HTML; with `refresh`, a browser loads it again after so many seconds."""
    found = run.metrics()
    evaluated = artefacts.evaluation(run)
    step, validation = run.validation(found)
    drawn = curves.of(found, run.selection, step)
    goodput = _goodput(run.times)
    earlier = artefacts.before(run)
    return templates.render(
        "run.html.j2",
        _HERE,
        title=f"{run.name} {run.version}",
        refresh=refresh,
        about=_about(run),
        state=run.state,
        problem=run.ended.get("problem", ""),
        tiles=[
            *_headlines(run, evaluated, step, validation),
            *_facts(run, found, step, goodput),
            *((name, value, "") for name, value in drawn.single if "/" not in name),
        ],
        results=evaluation.shown(evaluated, run.selection) if evaluated else None,
        evaluation=artefacts.link(evaluated.directory / evaluation.PAGE, run.directory)
        if evaluated
        else "",
        validation=[(name, metrics.number(value)) for name, value in validation.items()],
        curves=drawn,
        goodput=goodput,
        differences=_differences(run, earlier) if earlier else None,
        earlier=earlier,
        parent=bool(run.parent),
        earlier_link=artefacts.link(earlier.directory / records.PAGE, run.directory)
        if earlier
        else "",
        config={
            part: json.dumps(run.experiment[part], indent=1, ensure_ascii=False)
            for part in _CONFIG
            if run.experiment.get(part)
        },
        dataset=_dataset(run),
    )


def _about(run: Run) -> list[str]:
    manifest = run.manifest
    told = [run.model] if run.model else []
    if run.begun.get("when"):
        told.append(f"begun {artefacts.clock(run.when)}")
    if manifest:
        told.append(f"finished {artefacts.clock(manifest.created)}")
        if run.early:
            told.append(run.early)
        if commit := manifest.git.get("commit"):
            changed = " with changes" if manifest.git.get("dirty") else ""
            told.append(f"commit {commit[:10]}{changed}")
        told.append(f"code {manifest.code[:8]}")
        if early := manifest.details.get("ended"):
            told.append(str(early))
    elif run.state == "training" and run.holder:
        told.append(f"trained by {run.holder}")
    return told


def _headlines(
    run: Run,
    evaluated: artefacts.Evaluation | None,
    step: int | None,
    validation: Mapping[str, Any],
) -> list[tuple[str, str, str]]:
    """What the run is worth: on the test split, or on the validation split alone."""
    if evaluated:
        row = next(iter(evaluated.table.values()))
        return metrics.tiles(row, metrics.headlines(row, run.selection), "test")
    row = {name: {"value": value} for name, value in validation.items()}
    names = metrics.headlines(row, run.selection)
    at = f"at step {step:,}" if step else ""
    return [(f"{name}, validation", metrics.number(validation[name]), at) for name in names]


def _facts(
    run: Run, found: list[dict[str, Any]], step: int | None, goodput: "Mapping[str, Any] | None"
) -> list[tuple[str, str, str]]:
    tiles = []
    done = max((record["step"] for record in found), default=0)
    if done:
        share = f"{done:,}" if done == run.steps else f"{done:,} of {run.steps:,}"
        tiles.append(("steps", share, f"selected: {step:,}" if step else "none selected yet"))
    if loss := curves.last(found, curves.LOSS):
        tiles.append(("loss", text.number(loss[1]), f"at step {loss[0]:,}"))
    rates = [
        r["examples_per_second"] for r in found if artefacts.is_number(r.get("examples_per_second"))
    ]
    if rates:
        tiles.append(("examples per second", text.number(statistics.median(rates)), "median"))
    if goodput:
        tiles.append(("goodput", f"{goodput['percent']:.1f} %", goodput["told"]))
    return tiles


def _goodput(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where the time went: class of the colour, phase, share and seconds; the same in numbers."""
    try:
        told = dict.fromkeys(_LATER, 0.0) | record["seconds"]
        seconds = {phase: float(told[phase]) for phase in _COLOURS}
        seconds = {phase: spent for phase, spent in seconds.items() if spent or phase not in _LATER}
        history = record.get("history", ())
        counts = [int(each["processes"]) for each in history if "processes" in each]
        waiting, outside = float(told.get("waiting", 0)), float(record.get("outside_seconds", 0))
        percent, sessions = float(record["goodput_percent"]), record["sessions"]
        redone = record["steps_redone"]
    except (KeyError, TypeError, ValueError):
        return None
    total = sum(seconds.values()) or 1.0
    parts = [
        (chart.colour(_COLOURS[phase]), phase, spent / total, f"{spent:.1f} s")
        for phase, spent in seconds.items()
    ]
    rows = [
        [
            tables.Cell(phase, f"dot {colour}"),
            tables.Cell(told),
            tables.Cell(f"{100 * share:.1f} %"),
        ]
        for colour, phase, share, told in parts
    ]
    return {
        "percent": percent,
        "told": f"{text.span(total)} in {sessions} session{'s' * (sessions != 1)}",
        "redone": f"{redone:,} steps were done again after a crash." if redone else "",
        "waiting": f"Waiting for machines, {text.span(waiting)}, is not in it: with that"
        f" {100 * seconds['step'] / (total + waiting):.1f} %."
        if waiting >= 1
        else "",
        "sizes": f"Processes of its sessions: {', '.join(str(each) for each in counts)}."
        if len(set(counts)) > 1
        else "",
        "outside": f"{text.span(outside)} between sessions do not count, as nobody had asked for"
        " the run."
        if outside >= 1
        else "",
        "parts": parts,
        "table": tables.Table(("", "seconds", "share"), rows),
    }


def _differences(run: Run, earlier: Run) -> tables.Table:
    """Where the experiment differs from that of another run, and the inputs and the code."""
    rows = [
        (where, _value(here), _value(there))
        for where, here, there in codec.differences(run.experiment, earlier.experiment)
        if where.partition(".")[0] != _OTHER
    ]
    rows += [
        (f"version of the {kind}", run.inputs.get(kind, ""), version)
        for kind, version in earlier.inputs.items()
        if run.inputs.get(kind) != version
    ]
    here, there = (each.manifest.code[:8] if each.manifest else "" for each in (run, earlier))
    if here and there and here != there:
        rows.append(("code", here, there))
    return tables.Table(("field", "here", "there"), [tables.cells(row) for row in rows])


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _dataset(run: Run) -> dict[str, Any] | None:
    found = artefacts.dataset(run)
    if found is None:
        return None
    directory, manifest = found
    return {
        "title": f"{manifest.name} {manifest.version}",
        "facts": dataset.facts(directory, manifest),
        "link": artefacts.link(directory / dataset.PAGE, run.directory),
    }
