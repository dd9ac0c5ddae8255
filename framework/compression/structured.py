"""Units of feed-forward layers and attention heads that are left out: a smaller program remains."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from etils import epath

from podway.framework import config
from podway.framework.compression import importance
from podway.framework.error import check
from podway.framework.input.dataset import Dataset
from podway.framework.models.parts.shrink import Group, Shrinkable, What
from podway.framework.runs import run


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """What Units and Heads have in common: members of groups are left out."""

    keep: float = 0.5
    """Share of each layer's members that stays, at least one."""
    importance: Literal["magnitude", "taylor"] = "magnitude"
    """Who stays: those of the largest weights, the product of their norms on the way in and out; or
    those without whom the loss of train batches would change most, to first order (Molchanov et al.
    2019, arXiv:1906.10771)."""
    batches: int = 16
    """Train batches that taylor reads."""

    def __post_init__(self):
        check(0 < self.keep <= 1, f"compression.keep is {self.keep}; give a share above 0, to 1")
        check(self.batches >= 1, f"compression.batches is {self.batches}; give 1 or more")

    @property
    def what(self) -> What:
        """What is left out."""
        raise NotImplementedError

    def after(self, before: config.Before) -> config.Before:
        """See config.Compression."""
        model, groups = shrinkable(before.model, self.what)
        counts = tuple(self.count(group) for group in groups)
        return dataclasses.replace(before, model=model.left(self.what, counts))

    def count(self, group: Group) -> int:
        """How many members of a group stay; of halves the even number."""
        return max(1, round(self.keep * group.count))

    def convert(
        self, experiment: config.Experiment, dataset: Dataset, before: epath.Path
    ) -> dict[str, np.ndarray]:
        """See config.Compression."""
        earlier, _, parameters = run.load(before)
        _, groups = shrinkable(earlier.model, self.what)
        if self.importance == "taylor":
            gradients = importance.gradients(earlier, dataset, parameters, self.batches)
            scores = [importance.taylor(group, parameters, gradients) for group in groups]
        else:
            scores = [importance.magnitude(group, parameters) for group in groups]
        for group, each in zip(groups, scores, strict=True):
            parameters = take(parameters, group, best(each, self.count(group)))
        return parameters


@dataclasses.dataclass(frozen=True)
class Units(LeftOut, config.Compression):
    """Units of the feed-forward layers are left out."""

    @property
    def what(self) -> What:
        """See LeftOut."""
        return "units"


@dataclasses.dataclass(frozen=True)
class Heads(LeftOut, config.Compression):
    """Attention heads are left out; where several share keys and values, all of these together."""

    @property
    def what(self) -> What:
        """See LeftOut."""
        return "heads"


def shrinkable(model: config.Model, what: What) -> tuple[Shrinkable, Sequence[Group]]:
    """The model and its groups. Raises ConfigError where there are none."""
    groups = model.groups(what) if isinstance(model, Shrinkable) else ()
    check(
        bool(groups),
        f"compression: {type(model).__name__} has no {what} that can be left out; a model says by"
        " `groups` what can (framework/models/parts/shrink.py)",
    )
    assert isinstance(model, Shrinkable)
    return model, groups


def best(scores: np.ndarray, count: int) -> np.ndarray:
    """The numbers of the `count` largest scores, rising, [.., count]; of equal ones the first."""
    order = np.argsort(-scores, axis=-1, kind="stable")[..., :count]
    return np.sort(order, axis=-1)


def take(
    parameters: Mapping[str, np.ndarray], group: Group, members: np.ndarray
) -> dict[str, np.ndarray]:
    """The parameters with these members of a group alone; `members` is [layers, count] of a stack,
    else [count]."""
    found = dict(parameters)
    for part in group.parts:
        places = members[..., None] * part.size + np.arange(part.size)
        places = places.reshape(*members.shape[:-1], -1)
        array = np.asarray(parameters[part.path])
        if group.stacked:
            taken = [
                np.take(layer, own, part.axis) for layer, own in zip(array, places, strict=True)
            ]
            found[part.path] = np.stack(taken)
        else:
            found[part.path] = np.take(array, places, part.axis)
    return found
