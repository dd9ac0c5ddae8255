"""The runs of a study, trained where they are not there, and the laws through them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from etils import epath

from podway.framework import artifact
from podway.framework.artifact.upgrade import Choice
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.input.dataset import Dataset
from podway.launch import stages
from podway.launch.scaling.grid import Axis, Place
from podway.launch.scaling.law import Fitted, fit
from podway.launch.sweep import quantities

UNITS: dict[Axis, str] = {"parameters": "parameters", "data": "rows", "compute": "FLOP"}


@dataclasses.dataclass(frozen=True)
class Point:
    """A run that is trained.

    Attributes:
      place: which.
      amount: of its axis, in UNITS.
      quality: the validation metric at the selected checkpoint.
      run: the folder.
    """

    place: Place
    amount: float
    quality: float
    run: str


def train(
    places: Sequence[Place],
    workdir: epath.PathLike,
    code: Choice | None,
    say: Callable[[Point], None],
) -> list[Point]:
    """A point for each place; a run on several axes is trained once."""
    found, known = [], dict[str, Mapping[str, float]]()
    for place in places:
        options = stages.TrainOptions(code=code)
        dataset, directory = stages.train(place.experiment, workdir, options)
        name = str(directory)
        if name not in known:
            known[name] = amounts(place, dataset)
        metric = evaluator_of(place.experiment.model, place.experiment.evaluation).metric
        manifest = artifact.read_manifest(directory, "run")
        quality = manifest.details["validation"].get(metric)
        point = Point(
            place,
            known[name][place.axis],
            math.nan if quality is None else float(quality),
            name,
        )
        say(point)
        found.append(point)
    return found


def amounts(place: Place, dataset: Dataset) -> dict[str, float]:
    """What a run has of each axis."""
    found = quantities.measure(place.experiment, dataset, ["compute"])
    rows = np.ceil(place.experiment.trainer.share * dataset.blocks("train").rows).sum()
    return {"parameters": found["parameters"], "compute": found["compute"], "data": float(rows)}


def laws(points: Sequence[Point], *, grows: bool) -> dict[Axis, Fitted | None]:
    """By axis; None where there are too few points."""
    found: dict[Axis, Fitted | None] = {}
    axes: list[Axis] = list(dict.fromkeys(point.place.axis for point in points))
    for axis in axes:
        own = [p for p in points if p.place.axis == axis and math.isfinite(p.quality)]
        x, y = (np.array([getattr(p, name) for p in own]) for name in ("amount", "quality"))
        found[axis] = fit(x, y, grows=grows) if len(own) else None
    return found
