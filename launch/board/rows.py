"""What a workdir holds, as the rows of the board's tables."""

import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from podway.export import layout
from podway.framework import artifact
from podway.framework.error import PodwayError
from podway.framework.page import text
from podway.framework.report import artefacts, dataset, evaluation, metrics
from podway.framework.report.artefacts import Run
from podway.framework.runs import records

Link = Callable[[epath.Path, str], str]
"""(folder of an artefact, its page) → where that is from the board; "" where there is none."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
      text: what it shows.
      sort: what it is sorted by: a number, or text; "": last.
      below: what it shows in small below.
      link: where the text leads.
      style: classes of the stylesheet.
      share: of a bar, from 0 to 1; None: there is none.
      told: what hovering says.
    """

    text: str
    sort: str | float = ""
    below: str = ""
    link: str = ""
    style: str = ""
    share: float | None = None
    told: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of artefacts of one kind.

    Attributes:
      name: of the kind, in the plural.
      head: names of its columns.
      rows: the cells of each, in their order at first.
    """

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclasses.dataclass(frozen=True)
class Told:
    """A run and what it is worth.

    Attributes:
      run: the run.
      evaluation: the one that was made last.
      records: of an unfinished run.
      metric: the metric that selects its checkpoint.
      cell: that metric, on the test split where it was evaluated.
      split: which split that is of.
    """

    run: Run
    evaluation: artefacts.Evaluation | None
    records: Sequence[Mapping[str, Any]]
    metric: str
    cell: artefacts.Cell
    split: str


def runs(workdir: epath.Path) -> list[Told]:
    """The runs of a workdir, those that began last first."""
    latest: dict[tuple[str, str], artefacts.Evaluation] = {}
    for each in sorted(artefacts.evaluations(workdir), key=lambda each: each.manifest.created):
        if each.table:
            latest[each.directory.parent.name, each.manifest.inputs.get("run", "")] = each
    found = [_told(each, latest.get((each.name, each.version))) for each in artefacts.runs(workdir)]
    return sorted(found, key=lambda told: (told.run.when, told.run.version), reverse=True)


def _told(run: Run, evaluated: artefacts.Evaluation | None) -> Told:
    found = run.metrics() if run.manifest is None else []
    if evaluated:
        row = next(iter(evaluated.table.values()))
        if names := metrics.headlines(row, run.selection, 1):
            return Told(run, evaluated, found, names[0], row[names[0]], "test")
    _, validation = run.validation(found)
    row = {name: {"value": value} for name, value in validation.items()}
    names = metrics.headlines(row, run.selection, 1)
    cell = row[names[0]] if names else {}
    return Told(run, evaluated, found, names[0] if names else "", cell, "validation")


def of_runs(found: Iterable[Told], link: Link) -> Table:
    """A row for each run."""
    head = ("run", "state", "began", "steps", "metric", "value", "took", "parent", "dataset")
    rows = []
    for told in found:
        run = told.run
        done, share = steps(told)
        seconds = sum(run.times.get("seconds", {}).values()) if _is_timed(run.times) else 0.0
        parent = epath.Path(run.parent) if run.parent else None
        rows.append(
            [
                Cell(
                    run.name,
                    f"{run.name} {run.version}",
                    " ".join(filter(None, [run.version, run.model])),
                    link(run.directory, records.PAGE),
                ),
                Cell(run.state, run.state, _sign(run), style=f"tag {run.state}"),
                Cell(artefacts.clock(run.when), run.when),
                Cell(done, "" if share is None else share, share=None if share == 1 else share),
                Cell(told.metric, told.metric, told.split if told.metric else ""),
                _value(told.cell, link(told.evaluation.directory, evaluation.PAGE))
                if told.evaluation
                else _value(told.cell),
                Cell(text.span(seconds) if seconds else "", seconds or ""),
                Cell(parent.parent.name, f"{parent}", parent.name) if parent else Cell(""),
                _dataset(run),
            ]
        )
    return Table("runs", head, rows)


def _dataset(run: Run) -> Cell:
    version = run.inputs.get("dataset", "")
    name = _mapping(run.experiment.get("data")).get("name", "")
    return Cell(str(name), f"{name} {version}", version) if version else Cell("")


def _value(cell: artefacts.Cell, link: str = "") -> Cell:
    if not cell:
        return Cell("")
    value = cell.get("value")
    known = artefacts.is_number(value)
    style = "" if known else "bad"
    return Cell(
        metrics.number(value),
        value if known else "",
        metrics.interval(cell),
        link,
        style,  # type: ignore[arg-type]
    )


def _is_timed(times: Mapping[str, Any]) -> bool:
    seconds = times.get("seconds")
    return isinstance(seconds, dict) and all(map(artefacts.is_number, seconds.values()))


def steps(told: Told) -> tuple[str, float | None]:
    """Steps done and to do, and their share; of a fitted run nothing."""
    run = told.run
    if run.fitted:
        return "fitted", None
    done = run.times.get("step") or max((each["step"] for each in told.records), default=0)
    if run.done is not None:
        done = run.done
    if not artefacts.is_number(run.steps) or not run.steps:
        return "", None
    share = min(done / run.steps, 1.0)
    return f"{done:,}" if done >= run.steps else f"{done:,} of {run.steps:,}", share


def _sign(run: Run) -> str:
    """Why it failed or ended early, who trains it, or when it last gave a sign of life."""
    if run.manifest is not None:
        return str(run.manifest.details.get("ended", ""))
    if run.state == "failed":
        return str(run.ended.get("problem", ""))
    if run.state == "training" and run.holder:
        return f"by {run.holder}"
    if not run.signs:
        return ""
    seen = datetime.datetime.fromtimestamp(run.signs, datetime.UTC)
    return f"last sign {seen:%Y-%m-%d %H:%M}"


def of_evaluations(found: Iterable[Told], workdir: epath.Path, link: Link) -> Table:
    """A row for each evaluation: the run's own model beside the best of its baselines."""
    runs = {(told.run.name, told.run.version): told.run for told in found}
    rows = []
    for each in artefacts.evaluations(workdir):
        name, version = each.directory.parent.name, each.manifest.inputs.get("run", "")
        own, best = Cell(""), Cell("")
        metric = ""
        if each.table:
            run = runs.get((name, version))
            model, row = next(iter(each.table.items()))
            metric = next(iter(metrics.headlines(row, run.selection if run else "", 1)), "")
            own = _value(row.get(metric, {}))
            own = dataclasses.replace(own, below=f"{model} {own.below}".strip())
            others = [(m, r[metric]) for m, r in each.table.items() if m != model and metric in r]
            best = _best(others, largest=run is None or run.largest_is_best)
        rows.append(
            [
                Cell(
                    name,
                    f"{name} {each.directory.name}",
                    each.directory.name,
                    link(each.directory, evaluation.PAGE),
                ),
                Cell(version, version),
                Cell(artefacts.clock(each.manifest.created), each.manifest.created),
                Cell(metric, metric),
                own,
                best,
            ]
        )
    rows.sort(key=lambda row: str(row[2].sort), reverse=True)
    return Table("evaluations", ("evaluation", "run", "made", "metric", "model", "baseline"), rows)


def _best(others: Sequence[tuple[str, artefacts.Cell]], *, largest: bool) -> Cell:
    """The baseline of the best value, which is the largest or the smallest."""
    known = [(name, cell) for name, cell in others if artefacts.is_number(cell.get("value"))]
    if not known:
        return Cell("")
    name, cell = (max if largest else min)(known, key=lambda pair: pair[1]["value"])
    found = _value(cell)
    return dataclasses.replace(found, below=f"{name} {found.below}".strip())


def of_datasets(workdir: epath.Path, link: Link) -> Table:
    """A row for each dataset."""
    head = ("dataset", "made", "train examples", "events", "users", "items", "first", "last")
    rows = []
    for directory, manifest in artefacts.datasets(workdir):
        report = _mapping(manifest.details.get("report"))
        splits = _mapping(manifest.details.get("splits"))
        ends = dict(dataset.facts(directory, manifest))
        rows.append(
            [
                Cell(
                    manifest.name,
                    f"{manifest.name} {manifest.version}",
                    manifest.version,
                    link(directory, dataset.PAGE),
                ),
                Cell(artefacts.clock(manifest.created), manifest.created),
                _count(_mapping(splits.get("train")).get("examples")),
                *(_count(report.get(name)) for name in ("kept", "users", "items")),
                *(
                    Cell(ends.get(name, ""), ends.get(name, ""))
                    for name in ("first event", "last event")
                ),
            ]
        )
    rows.sort(key=lambda row: str(row[1].sort), reverse=True)
    return Table("datasets", head, rows)


Operated = Callable[[str, int], Sequence[Cell]]
"""(model, version) → the cells that say how it came to its users."""


def of_models(
    workdir: epath.Path, link: Link, operated: Operated, head: Sequence[str] = ()
) -> Table:
    """A row for each published version of each model, the newest first; `operated` adds the columns
    that `head` names."""
    rows = []
    for name, number, directory in _published(workdir):
        try:
            manifest = artifact.read_manifest(directory, "model", manifest=layout.MANIFEST)
        except (artifact.ArtifactError, OSError):
            manifest = None
        published = manifest.created if manifest else ""
        run = manifest.inputs.get("run", "") if manifest else ""
        serves, labels = _served(name, number, workdir)
        rows.append(
            [
                Cell(
                    name,
                    f"{name} {number:012}",
                    f"version {number}",
                    link(directory, layout.CARD),
                ),
                Cell(artefacts.clock(published) or "?", published),
                _verified(manifest),
                Cell(serves, serves),
                Cell(labels, labels),
                *operated(name, number),
                Cell(run, run),
            ]
        )
    rows.sort(key=lambda row: (str(row[1].sort), str(row[0].sort)), reverse=True)
    columns = ("model", "published", "verified", "serves", "labels", *head, "run")
    return Table("models", columns, rows)


def _published(workdir: epath.Path) -> list[tuple[str, int, epath.Path]]:
    home = workdir / "models"
    with contextlib.suppress(OSError):
        return [
            (model.name, int(version.name), version)
            for model in sorted(home.iterdir(), key=lambda child: child.name)
            if model.is_dir()
            for version in model.iterdir()
            if version.name.isdecimal()
        ]
    return []


def _verified(manifest: artifact.Manifest | None) -> Cell:
    if manifest is None:
        return Cell("?", style="bad")
    told = str(manifest.details.get("verified", ""))
    return Cell("yes", "yes", told=told) if told else Cell("no", "no", style="bad")


def _served(name: str, number: int, workdir: epath.Path) -> tuple[str, str]:
    """Whether models.config asks for a version, and its labels."""
    try:
        from podway.export.versions import models_config

        served = models_config.served(layout.server_config(workdir), name)
    except (ImportError, PodwayError, OSError):
        return "", ""
    labels = [label for label, version in served.labels.items() if version == number]
    return "yes" if number in served.versions else "", ", ".join(labels)


def linked(folder: epath.Path) -> Link:
    """Links from a page in a folder to pages that exist."""

    return lambda directory, name: artefacts.link(directory / name, folder)


def _count(value: Any) -> Cell:
    return Cell(f"{value:,}", value) if artefacts.is_number(value) else Cell("")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
