"""How models were chosen and made smaller, as rows of the board's tables: sweeps, compressions."""

import datetime
import math
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from podway.framework.page import text
from podway.framework.report import artefacts, metrics
from podway.launch.board.rows import Cell, Link, Table
from podway.launch.tracking import others

SWEEPS, COMPRESSIONS = "sweeps", "compressions"
SWEEP, COMPRESSION = "sweep.html", "report.html"
"""Folders of the workdir, and the pages there. What writes them needs Optuna, or TensorFlow; the
board does not."""


def of_sweeps(workdir: epath.Path, link: Link) -> Table:
    """A row for each sweep: unfinished ones, then the last one first."""
    head = ("sweep", "state", "ended", "trials", "best", "front", "winner", "training cost")
    rows = []
    for directory in _folders(workdir / SWEEPS):
        if not (directory / "plan.json").exists():
            continue
        found = artefacts.mapping(directory / "sweep.json")
        told, trials = artefacts.mapping(directory / others.FILE), _list(found, "trials")
        name, version = directory.parent.name, directory.name
        ended = _moment(told.get("ended")) if found else ""
        rows.append(
            [
                Cell(name, f"{name} {version}", version, link(directory, SWEEP)),
                _state(finished=bool(found)),
                Cell(artefacts.clock(ended), ended),
                Cell(f"{len(trials):,}", len(trials), _counts(trials)) if found else Cell(""),
                _best(found),
                _front(found),
                _winner(found),
                _cost(found),
            ]
        )
    rows.sort(key=lambda row: (row[2].sort == "", str(row[2].sort)), reverse=True)
    return Table("sweeps", head, rows)


def of_compressions(workdir: epath.Path, link: Link) -> Table:
    """A row for each compression, the last one first."""
    head = ("compression", "made", "steps", "parent", "weights", "quality", "less the parent's")
    rows = []
    for directory in _folders(workdir / COMPRESSIONS):
        manifest = artefacts.manifest(directory, "compression")
        models = _list(artefacts.mapping(directory / "report.json"), "models")
        if manifest is None or len(models) < 2:
            continue
        first, last = models[0], models[-1]
        steps = [str(each.get("step", "?")) for each in models[1:]]
        name = manifest.name
        rows.append(
            [
                Cell(
                    name,
                    f"{name} {manifest.version}",
                    manifest.version,
                    link(directory, COMPRESSION),
                ),
                Cell(artefacts.clock(manifest.created), manifest.created),
                Cell(" → ".join(steps), " ".join(steps)),
                Cell(str(first.get("run", "")), str(first.get("run", ""))),
                _ratio(first.get("weights_bytes"), last.get("weights_bytes")),
                *_quality(last.get("quality")),
            ]
        )
    rows.sort(key=lambda row: str(row[1].sort), reverse=True)
    return Table("compressions", head, rows)


def _folders(home: epath.Path) -> Iterator[epath.Path]:
    """NAME/VERSION in a folder."""
    if home.is_dir():
        for name in sorted(each for each in home.iterdir() if each.is_dir()):
            yield from sorted(each for each in name.iterdir() if each.is_dir())


def _moment(seconds: Any) -> str:
    """Seconds since 1970 as ISO 8601."""
    if not artefacts.is_number(seconds):
        return ""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()


def _list(found: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    stored = found.get(name)
    return [each for each in stored if isinstance(each, dict)] if isinstance(stored, list) else []


def _mapping(found: Any, name: str) -> Mapping[str, Any]:
    stored = found.get(name) if isinstance(found, dict) else None
    return stored if isinstance(stored, dict) else {}


def _state(*, finished: bool) -> Cell:
    """A sweep's report is written last. Who works on one without it, its database alone knows."""
    said, style = ("finished", "finished") if finished else ("unfinished", "stopped")
    return Cell(said, said, style=f"tag {style}")


def _counts(trials: list[Mapping[str, Any]]) -> str:
    states = [str(each.get("state")) for each in trials]
    return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))


def _best(found: Mapping[str, Any]) -> Cell:
    """The best mean of a candidate over its seeds."""
    winner = _mapping(found, "winner")
    value = _mapping(_mapping(winner, "standings"), str(winner.get("best"))).get("mean")
    if not artefacts.is_number(value):
        return Cell("")
    return Cell(metrics.number(value), value, f"{found.get('metric')}, validation")


def _front(found: Mapping[str, Any]) -> Cell:
    front = found.get("front")
    if not isinstance(front, list):
        return Cell("")
    objectives = _mapping(found, "sweep").get("objectives")
    below = ", ".join(map(str, objectives)) if isinstance(objectives, list) else ""
    return Cell(f"{len(front):,}", len(front), below)


def _winner(found: Mapping[str, Any]) -> Cell:
    winner = _mapping(found, "winner")
    if not winner:
        return Cell("")
    run = epath.Path(str(winner.get("run", ""))).name
    return Cell(run, run, f"trial {winner.get('number')}", told=str(winner.get("overrides", "")))


def _cost(found: Mapping[str, Any]) -> Cell:
    money = _mapping(found, "money")
    total = _mapping(money, "trainings").get("total")
    if not artefacts.is_number(total):
        return Cell("")
    return Cell(f"{text.number(total)} {money.get('currency')}", total)


def _ratio(first: Any, last: Any) -> Cell:
    """How many times smaller the weights became."""
    if not (artefacts.is_number(first) and artefacts.is_number(last) and last):
        return Cell("")
    return Cell(f"÷ {first / last:.2f}", first / last, text.size(last))


def _quality(found: Any) -> tuple[Cell, Cell]:
    """The metric that selects, and by how much it differs from the parent's."""
    names = [name for name in found if "[" not in name] if isinstance(found, dict) else []
    cell = _mapping(found, names[0]) if names else {}
    value, difference = cell.get("value"), _mapping(cell, "difference")
    mean, low, high = (difference.get(name) for name in ("mean", "low", "high"))
    if not artefacts.is_number(value) or not artefacts.is_number(mean):
        return Cell(""), Cell("")
    known = all(artefacts.is_number(end) and math.isfinite(end) for end in (low, high))
    interval = f"[{low:+.4f}, {high:+.4f}]" if known else ""
    return (
        Cell(metrics.number(value), value, names[0]),
        Cell(f"{mean:+.4f}", mean, interval),
    )
