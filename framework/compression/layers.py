"""Whole layers that are left out, chosen by what the model is worth without them."""

import dataclasses
import re
from collections.abc import Mapping

import jax
import numpy as np
from etils import epath

from podway.framework import config
from podway.framework.compression.structured import shrinkable
from podway.framework.devices import mesh
from podway.framework.error import check
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.input.dataset import Dataset
from podway.framework.models.parts.shrink import Group
from podway.framework.runs import run
from podway.framework.runs.goodput import Clock
from podway.framework.training.validation import validator


@dataclasses.dataclass(frozen=True)
class Layers(config.Compression):
    """Layers are left out one after the other, each time the one without which the validation
    metric is best; of equal ones the first."""

    drop: int = 1
    """How many layers are left out."""

    def __post_init__(self):
        check(self.drop >= 1, f"compression.drop is {self.drop}; give 1 or more")

    def after(self, before: config.Before) -> config.Before:
        """See config.Compression."""
        model, (group,) = shrinkable(before.model, "layers")
        check(
            self.drop < group.count,
            f"compression.drop is {self.drop}, and {type(before.model).__name__} has"
            f" {group.count} layers: leave one at least",
        )
        return dataclasses.replace(before, model=model.left("layers", (group.count - self.drop,)))

    def convert(
        self, experiment: config.Experiment, dataset: Dataset, before: epath.Path
    ) -> dict[str, np.ndarray]:
        """See config.Compression."""
        earlier, _, parameters = run.load(before)
        model, (group,) = shrinkable(earlier.model, "layers")
        devices = mesh.build(experiment.mesh)
        for count in range(group.count - 1, group.count - 1 - self.drop, -1):
            shorter = dataclasses.replace(experiment, model=model.left("layers", (count,)))
            evaluator = evaluator_of(shorter.model, shorter.evaluation)
            validate, worth = validator(shorter, dataset, devices, Clock()), []
            for layer in range(count + 1):
                found = without(parameters, group, layer)
                metrics = validate(jax.device_put(found, mesh.replicated(devices)))
                worth.append(metrics[evaluator.metric])
            values = np.array(worth) if evaluator.largest_is_best else -np.array(worth)
            # What is not a number is never the best.
            chosen = int(np.argmax(np.where(np.isnan(values), -np.inf, values)))
            print(
                f"compress: without layer {chosen} of {count + 1} {evaluator.metric} is"
                f" {worth[chosen]:.4f} (of all: {', '.join(f'{each:.4f}' for each in worth)})",
                flush=True,
            )
            parameters = without(parameters, group, chosen)
        return parameters


def without(
    parameters: Mapping[str, np.ndarray], group: Group, layer: int
) -> dict[str, np.ndarray]:
    """The parameters without one of the layers; those behind it move up."""
    found: dict[str, np.ndarray] = {}
    for path, array in parameters.items():
        if group.stacked and path.startswith(f"{group.name}/"):
            found[path] = np.delete(np.asarray(array), layer, axis=0)
        elif match := re.fullmatch(rf"{re.escape(group.name)}/(\d+)/(.*)", path):
            number = int(match[1])
            if number != layer:
                found[f"{group.name}/{number - (number > layer)}/{match[2]}"] = array
        else:
            found[path] = array
    return found
