"""Single weights that become zero, by their magnitude, while the model is trained on.

The matrices keep their shapes: what this saves, only a format or a kernel for zeros turns into
bytes or time.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from podway.framework import config
from podway.framework.compression import tune, weights
from podway.framework.error import check

KERNELS = (r".*kernel",)
"""All weights of linear layers."""


@dataclasses.dataclass(frozen=True)
class Gradual:
    """What Magnitude and Movement have in common: a share of zeros that grows while it trains."""

    trains: ClassVar[bool] = True
    masks: ClassVar[bool] = True

    sparsity: float = 0.5
    """Share of each matrix's weights that is zero in the end."""
    paths: tuple[str, ...] = KERNELS
    """Patterns of whole paths of the matrices."""
    steps: int = 1000
    """Optimizer steps."""
    learning_rate: float = 0.3
    """Peak learning rate, in shares of the one that the model was trained with."""
    begin: float = 0.0
    """Share of the steps before the first weight becomes zero."""
    end: float = 0.7
    """Share of the steps after which `sparsity` is reached; the others only mend."""

    def __post_init__(self):
        tune.check_training(self)
        check_schedule(self)

    def after(self, before: config.Before) -> config.Before:
        """See config.Compression."""
        return tune.tuned(before, self.steps, self.learning_rate)


@dataclasses.dataclass(frozen=True)
class Magnitude(Gradual, config.Compression):
    """Weights of the smallest magnitude become zero, more of them from step to step (Zhu & Gupta
    2017, arXiv:1710.01878); training makes up for it.

    A weight that is zero keeps its magnitude, and comes back where others fall below it.
    """

    def forward(self, parameters: Mapping[str, Any], progress: Any) -> dict[str, Any]:
        """See config.Compression."""
        share = cubic(self.sparsity, self.begin, self.end, progress)
        masked = {
            path: jnp.where(largest(jnp.abs(parameters[path]), share), parameters[path], 0)
            for path in weights.chosen(parameters, self.paths)
        }
        return {**parameters, **masked}


@dataclasses.dataclass(frozen=True)
class TwoOfFour(config.Compression):
    """Of each four weights in a row along the input, the two of smaller magnitude are zero (2:4,
    Mishra et al. 2021, arXiv:2104.08378): the pattern that NVIDIA's tensor cores can skip.

    Of two that are alike, the first stays.
    """

    trains: ClassVar[bool] = True
    masks: ClassVar[bool] = True

    paths: tuple[str, ...] = KERNELS
    """Patterns of whole paths of the matrices, [.., inputs, outputs]; four divides the inputs."""
    steps: int = 1000
    """Optimizer steps, all with the zeros."""
    learning_rate: float = 0.3
    """Peak learning rate, in shares of the one that the model was trained with."""

    def __post_init__(self):
        tune.check_training(self)
        weights.check_patterns(self.paths)

    def after(self, before: config.Before) -> config.Before:
        """See config.Compression."""
        return tune.tuned(before, self.steps, self.learning_rate)

    def forward(self, parameters: Mapping[str, Any], progress: Any) -> dict[str, Any]:
        """See config.Compression."""
        found = dict(parameters)
        for path in weights.chosen(parameters, self.paths):
            array = jnp.asarray(parameters[path])
            check(
                array.shape[-2] % 4 == 0,
                f"compression.paths: {path} has {array.shape[-2]} inputs, which four does not"
                " divide: name other matrices",
            )
            found[path] = jnp.where(two_of_four(jnp.abs(array)), array, 0)
        return found


def check_schedule(step: Any) -> None:
    """Raises ConfigError for a schedule that cannot be."""
    check(
        0 < step.sparsity < 1,
        f"compression.sparsity is {step.sparsity}; give a share between 0 and 1",
    )
    check(
        0 <= step.begin < step.end <= 1,
        f"compression.begin and compression.end are {step.begin} and {step.end}; give shares of the"
        " steps from 0 to 1, the first one smaller",
    )
    weights.check_patterns(step.paths)


def cubic(final: float, begin: float, end: float, progress: Any) -> Float[Array, ""]:
    """The share that is zero: from 0, fast at first, to `final`."""
    part = jnp.clip((progress - begin) / (end - begin), 0.0, 1.0)
    return final * (1 - (1 - part) ** 3)


def largest(scores: Float[Array, "..."], without: Any) -> Bool[Array, "..."]:
    """Which entries stay, when the share `without` (rounded to whole entries) of smallest scores
    goes. Of equal ones those that lie first go first, so that it is exactly as many."""
    flat = scores.reshape(-1)
    order = jnp.argsort(flat, stable=True)
    stay = jnp.arange(flat.size) >= jnp.round(without * flat.size)
    return jnp.zeros(flat.shape, bool).at[order].set(stay).reshape(scores.shape)


def two_of_four(
    scores: Float[Array, "*stack inputs outputs"],
) -> Bool[Array, "*stack inputs outputs"]:
    """Which of each four along the inputs have the two largest scores."""
    *stack, inputs, outputs = scores.shape
    fours = jnp.moveaxis(scores.reshape(*stack, inputs // 4, 4, outputs), -2, -1)
    _, best = jax.lax.top_k(fours, 2)  # of equal ones the first
    stay = (best[..., None] == jnp.arange(4)).any(-2)
    return jnp.moveaxis(stay, -1, -2).reshape(scores.shape)
