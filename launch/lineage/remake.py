"""A version made again, in a workdir of its own, and held against the one that was published."""

import dataclasses
import json
from typing import Any

from etils import epath

from podway.export import layout
from podway.framework import artifact, codec
from podway.framework.config import Tracking
from podway.framework.error import PodwayError
from podway.framework.report import artefacts
from podway.launch import stages
from podway.launch.lineage.recipe import Recipe
from podway.launch.tracking.place import absolute


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of making it again.

    Attributes:
      directory: the new version's folder.
      rows: (what, then, now) of what was compared.
    """

    directory: epath.Path
    rows: tuple[tuple[str, str, str], ...]

    @property
    def same(self) -> bool:
        """Whether all is as it was."""
        return all(then == now for _, then, now in self.rows)


def remake(recipe: Recipe, into: epath.PathLike) -> Outcome:
    """Makes data, runs, evaluation and model of a recipe anew.

    Args:
      recipe: how.
      into: a workdir of its own: not the one of the recipe.

    Raises PodwayError: that is the same workdir, or a stage cannot be made.
    """
    if absolute(epath.Path(into)) == absolute(recipe.run.workdir):
        raise PodwayError(
            f"--into is {into}, where the version lies that is to be made again: give a folder of"
            " its own"
        )
    parent = ""
    for run in recipe.runs[:-1]:
        experiment = _with_parent(recipe, run, parent)
        _, directory = stages.train(experiment, into)
        parent = directory.name
    experiment = _with_parent(recipe, recipe.run, parent)
    published = stages.run(experiment, into)
    return Outcome(published, tuple(_compared(recipe, published)))


def _with_parent(recipe: Recipe, run: Any, parent: str) -> Any:
    """A run's experiment, told to nobody, that goes on from the run that was made just now."""
    experiment = dataclasses.replace(recipe.experiment(run), tracking=Tracking())
    if not experiment.trainer.parent:
        return experiment
    trainer = dataclasses.replace(experiment.trainer, parent=parent)
    return dataclasses.replace(experiment, trainer=trainer)


def _compared(recipe: Recipe, published: epath.Path) -> list[tuple[str, str, str]]:
    then = artifact.read_manifest(
        epath.Path(recipe.version.place), "model", manifest=layout.MANIFEST
    )
    now = artifact.read_manifest(published, "model", manifest=layout.MANIFEST)
    rows = [(f"{kind} version", v, now.inputs.get(kind, "")) for kind, v in then.inputs.items()]
    run = artefacts.run(published.parent.parent.parent / "runs" / now.name / now.inputs["run"])
    rows.append(("test metrics", _headline(recipe.run), _headline(run)))
    known = {file.path: file.sha256 for file in then.files}
    for file in now.files:
        if file.path.startswith("variables/") and file.path in known:
            rows.append((file.path, known[file.path][:16], file.sha256[:16]))
    golden = [epath.Path(recipe.version.place) / layout.GOLDEN, published / layout.GOLDEN]
    then_said, now_said = (_hash(path) for path in golden)
    return [*rows, ("golden answers", then_said, now_said)]


def _headline(run: artefacts.Run) -> str:
    evaluated = artefacts.evaluation(run)
    row = next(iter(evaluated.table.values()), {}) if evaluated else {}
    told = [
        f"{name} {cell['value']:.6g}"
        for name, cell in row.items()
        if "[" not in name and artefacts.is_number(cell.get("value"))
    ]
    return ", ".join(told[:3]) or "none"


def _hash(path: epath.Path) -> str:
    try:
        return codec.content_hash(json.loads(path.read_text()))
    except (OSError, ValueError):
        return "none"
