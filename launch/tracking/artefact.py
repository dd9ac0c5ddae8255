"""A folder of a workdir → what is told of it. Reads files alone, without JAX and without MLflow."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from podway.export import layout
from podway.framework import artifact, codec, config
from podway.framework.report import artefacts
from podway.framework.report.artefacts import Run
from podway.framework.runs import records
from podway.launch.tracking import names, operation, others
from podway.launch.tracking.place import absolute
from podway.launch.tracking.tail import Tail
from podway.launch.tracking.told import Input, Point, Status, Told, key

OWN, BASELINE = "test", "baseline"
"""What the metrics of an evaluation begin with: of the model, and of what it is held against."""
_STATUS: Mapping[artefacts.State, Status] = {
    "finished": "FINISHED",
    "training": "RUNNING",
    "failed": "FAILED",
    "stopped": "KILLED",
}
_COUNTS = ("kept", "users", "items")
SILENT = "its processes ended without a word: killed, or their machine was lost"
"""Why a run ended that wrote down nothing about it."""


def told(kind: str, directory: epath.PathLike) -> list[Told]:
    """What is to be told of a "run", an "evaluation", a "model", a "gate", a "rollout" (the folder
    of a model: all that it had) or another kind in a folder.

    Where one of these belongs to a run, that comes first. [] where the folder is none, or not
    begun. Of other kinds (others.py) the folder says it itself.
    """
    directory = epath.Path(directory)
    match kind:
        case "run":
            return run(directory)
        case "evaluation":
            return evaluation(directory)
        case "model":
            return model(directory)
        case "gate":
            return _behind_runs(directory.parents[3], operation.verdict(directory))
        case "rollout":
            return _behind_runs(directory.parent.parent, operation.rollouts(directory))
    return others.read(kind, directory)


def run(directory: epath.Path, *, curve: bool = True) -> list[Told]:
    """A run, finished or not; without its `curve`, as it would be told step by step."""
    found = artefacts.run(directory)
    if not found.when:
        return []
    began = names.millis(found.when)
    ended = None if found.state == "training" else _ended(found)
    return [
        Told(
            kind="run",
            name=found.name,
            version=found.version,
            place=str(absolute(directory)),
            status=_STATUS[found.state],
            began=began,
            ended=ended,
            parameters=names.parameters(_config(found)),
            tags=names.tags(_tags(found)),
            inputs=tuple(_inputs(found)),
            curve=Tail(directory, began).points() if curve else (),
            results=tuple(_results(found)) if ended is not None else (),
        )
    ]


def evaluation(directory: epath.Path) -> list[Told]:
    """An evaluation, behind its run, of which it is a part."""
    manifest = artefacts.manifest(directory, "evaluation")
    if manifest is None:
        return []
    of = _run_of(directory, manifest)
    made = names.millis(manifest.created)
    this = Told(
        kind="evaluation",
        name=directory.parent.name,
        version=manifest.version,
        place=str(absolute(directory)),
        status="FINISHED",
        began=made,
        ended=made,
        parameters=names.parameters(manifest.config, "evaluation"),
        tags=names.tags(_origin(manifest)),
        results=tuple(_table(artefacts.table(directory), 0, made)),
        of=key("run", directory.parent.name, manifest.inputs.get("run", "")),
    )
    return [*run(of), this]


def model(directory: epath.Path) -> list[Told]:
    """A published version of a model, behind its run, of which it is a part."""
    try:
        manifest = artifact.read_manifest(directory, "model", manifest=layout.MANIFEST)
    except (artifact.ArtifactError, OSError):
        return []
    made = names.millis(manifest.created)
    size = sum(file.size for file in manifest.files)
    this = Told(
        kind="model",
        name=directory.parent.name,
        version=directory.name,
        place=str(absolute(directory)),
        status="FINISHED",
        began=made,
        ended=made,
        parameters=names.parameters(manifest.config),
        tags=names.tags(
            _origin(manifest)
            | {
                "podway.artefact": manifest.version,
                "podway.verified": manifest.details.get("verified"),
                "podway.page": page(directory / layout.CARD),
            }
        ),
        results=(Point("model_bytes", float(size), 0, made),),
        of=key("run", directory.parent.name, manifest.inputs.get("run", "")),
    )
    return [*run(_run_of(directory, manifest)), this]


def _behind_runs(workdir: epath.Path, found: list[Told]) -> list[Told]:
    """Each behind the run that it belongs to, which is told of once."""
    told = dict[str, Told]()
    for each in found:
        version = each.of.rpartition("/")[2]
        for behind in run(workdir / "runs" / each.name / version):
            told.setdefault(behind.key, behind)
        told[each.key] = each
    return list(told.values())


def group(found: Run) -> str:
    """What runs have in common that differ in trainer.seed alone, or in what changes nothing."""
    ignored = {"seed"} | {
        field.name
        for field in dataclasses.fields(config.Trainer)
        if field.metadata.get(codec.NEUTRAL)
    }
    trainer = {
        name: value
        for name, value in (found.experiment.get("trainer") or {}).items()
        if name not in ignored
    }
    parts = {name: found.experiment.get(name) for name in ("model", "optimizer", "mixture")}
    shaping = {**parts, "trainer": trainer, "inputs": dict(found.inputs)}
    return f"{found.name} {codec.content_hash(shaping)[:8]}"


def page(path: epath.Path) -> str:
    """A page's place; "" where there is none."""
    return str(absolute(path)) if path.exists() else ""


def _config(found: Run) -> Mapping[str, Any]:
    return {name: part for name, part in found.experiment.items() if name != "tracking"}


def _tags(found: Run) -> dict[str, Any]:
    manifest, name = found.manifest, (found.experiment.get("data") or {}).get("name")
    problem = found.ended.get("problem") or ""
    if found.state == "stopped" and not found.ended:
        problem = SILENT
    tags = {
        "podway.group": group(found),
        "podway.model": found.model,
        "podway.state": found.state,
        "podway.problem": problem,
        "podway.early": found.early,
        "podway.parent": epath.Path(found.parent).name if found.parent else "",
        "podway.dataset": f"{name} {found.inputs['dataset']}" if "dataset" in found.inputs else "",
        "podway.sessions": found.times.get("sessions"),
        "podway.page": page(found.directory / records.PAGE),
        "mlflow.user": found.holder.user if found.holder else "",
    }
    if manifest is not None:
        tags |= _origin(manifest) | {
            "podway.steps": manifest.details.get("steps"),
            "podway.selected_step": manifest.details.get("selected_step"),
        }
    return tags


def _origin(manifest: artifact.Manifest) -> dict[str, Any]:
    """Which code and which artefacts it was made of."""
    made = {f"podway.input.{kind}": version for kind, version in manifest.inputs.items()}
    return made | {
        "mlflow.source.git.commit": manifest.git.get("commit"),
        "podway.git.dirty": manifest.git.get("dirty"),
        "podway.code": manifest.code,
        "podway.packages": ", ".join(f"{k} {v}" for k, v in sorted(manifest.packages.items())),
    }


def _inputs(found: Run) -> Iterator[Input]:
    parts = [("dataset", found.experiment.get("data"))]
    for at, each in enumerate(found.experiment.get("mixture") or ()):
        parts.append((f"mixture {at}", (each or {}).get("data")))
    for name, part in parts:
        version = found.inputs.get(name)
        if not version or not isinstance(part, dict) or not part.get("name"):
            continue
        directory = found.workdir / "datasets" / part["name"] / version
        manifest = artefacts.manifest(directory, "dataset")
        report = (manifest.details.get("report") or {}) if manifest else {}
        tables = [table.get("path", "") for table in part.get("tables") or ()]
        yield Input(
            name=part["name"],
            version=version,
            place=str(absolute(directory)),
            sources=(part.get("path", ""), *tables),
            counts={name: report[name] for name in _COUNTS if isinstance(report.get(name), int)},
        )


def _results(found: Run) -> Iterator[Point]:
    """What the run is worth: where its time went, and its evaluation that was made last."""
    ended, done = _ended(found), found.done or int(found.times.get("step") or 0)
    if artefacts.is_number(percent := found.times.get("goodput_percent")):
        yield Point("goodput_percent", float(percent), done, ended)
    evaluated = artefacts.evaluation(found)
    if evaluated is not None:
        step = (found.manifest.details.get("selected_step") if found.manifest else None) or 0
        made = names.millis(evaluated.manifest.created)
        row = next(iter(evaluated.table.values()), {})
        whole = {
            name: {"value": cell.get("value")} for name, cell in row.items() if "[" not in name
        }
        yield from _table({found.model: whole}, step, made)


def _table(
    table: Mapping[str, Mapping[str, artefacts.Cell]], step: int, when: int
) -> Iterator[Point]:
    """The first row is the model's own."""
    for number, (name, row) in enumerate(table.items()):
        begin = f"{BASELINE}/{name}" if number else OWN
        for metric, cell in row.items():
            for part in ("value", "low", "high"):
                if part in cell and isinstance(cell[part], int | float | None):
                    value = math.nan if cell[part] is None else float(cell[part])
                    of = metric if part == "value" else f"{part} of {metric}"
                    yield Point(f"{begin}/{of}", value, step, when)


def _ended(found: Run) -> int:
    if found.manifest is not None:
        return names.millis(found.manifest.created)
    return names.millis(found.ended.get("when", "")) or int(1000 * found.signs)


def _run_of(directory: epath.Path, manifest: artifact.Manifest) -> epath.Path:
    workdir = directory.parent.parent.parent
    return workdir / "runs" / directory.parent.name / manifest.inputs.get("run", "-")
