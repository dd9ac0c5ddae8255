"""Optimizers of embedding tables: how the rows that a batch touched follow their gradients.

Each is a pure function of those rows, their slots and their gradients, so its cost grows with the
batch and not with the table. What that makes lazy: a row that no id of the batch names stays as it
is, bit by bit. Momentum and weight decay apply to a row at its touches only, so a row that is
touched once in a hundred steps decays once in a hundred steps.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from podway.framework.error import check

Slots = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Slot:
    """An array that an optimizer keeps beside a table.

    Attributes:
      wide: whether it holds a value per element of a row; else one per row.
      initial: the value that a row starts with.
    """

    wide: bool
    initial: float = 0.0


@dataclasses.dataclass(frozen=True)
class RowOptimizer:
    """How touched rows follow their gradients. Choose RowWiseAdagrad, Adagrad, LazyAdam or Sgd."""

    def slots(self) -> dict[str, Slot]:
        """What is kept for each row, by name."""
        raise NotImplementedError

    def update(
        self,
        rows: Float[Array, "touched width"],
        slots: Slots,
        gradient: Float[Array, "touched width"],
        step: Int[Array, ""],
        factor: Float[Array, ""] | float,
    ) -> tuple[Float[Array, "touched width"], Slots]:
        """The rows and slots (all f32) after one step.

        Args:
          rows: the touched rows, each once.
          slots: those of these rows: [touched] or, where wide, [touched, width].
          gradient: of the loss, summed over all places that read the row.
          step: steps done before this one, of the run and not of the row.
          factor: multiplies the learning rate; a schedule's value as a fraction of its peak.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class RowWiseAdagrad(RowOptimizer):
    """Adagrad with one accumulator per row, the mean square of its gradient.

    (Naumov et al., 2019, arXiv:1906.00091, as in DLRM.) Memory beside the table: 1/width of it.
    """

    learning_rate: float = 0.02
    """Peak learning rate."""
    initial: float = 0.1
    """What the accumulator starts with; larger is slower at first."""
    epsilon: float = 1e-7
    """Added to the accumulator under the root."""
    weight_decay: float = 0.0
    """Decoupled decay of a row at each of its touches, times the learning rate."""

    def __post_init__(self):
        _check(self)

    def slots(self) -> dict[str, Slot]:
        """One number per row."""
        return {"accumulator": Slot(wide=False, initial=self.initial)}

    def update(self, rows, slots, gradient, step, factor):
        """rows − rate · gradient / √(Σ mean(gradient²) + ε)."""
        total = slots["accumulator"] + jnp.mean(jnp.square(gradient), axis=1)
        direction = gradient * jax.lax.rsqrt(total + self.epsilon)[:, None]
        return _descend(self, rows, direction, factor), {"accumulator": total}


@dataclasses.dataclass(frozen=True)
class Adagrad(RowOptimizer):
    """Adagrad (Duchi et al., 2011), one accumulator per element; sparse by nature, nothing lazy."""

    learning_rate: float = 0.02
    """Peak learning rate."""
    initial: float = 0.1
    """What the accumulators start with; larger is slower at first."""
    epsilon: float = 1e-7
    """Added to the accumulator under the root."""
    weight_decay: float = 0.0
    """Decoupled decay of a row at each of its touches, times the learning rate."""

    def __post_init__(self):
        _check(self)

    def slots(self) -> dict[str, Slot]:
        """One number per element."""
        return {"accumulator": Slot(wide=True, initial=self.initial)}

    def update(self, rows, slots, gradient, step, factor):
        """rows − rate · gradient / √(Σ gradient² + ε)."""
        total = slots["accumulator"] + jnp.square(gradient)
        direction = gradient * jax.lax.rsqrt(total + self.epsilon)
        return _descend(self, rows, direction, factor), {"accumulator": total}


@dataclasses.dataclass(frozen=True)
class LazyAdam(RowOptimizer):
    """Adam (Kingma & Ba, 2015) whose moments of a row change at the row's touches only.

    The bias correction counts the run's steps. Memory beside the table: twice the table.
    """

    learning_rate: float = 1e-3
    """Peak learning rate."""
    beta1: float = 0.9
    """Decay of the mean of gradients, at each touch."""
    beta2: float = 0.999
    """Decay of the mean of squared gradients, at each touch."""
    epsilon: float = 1e-8
    """Added to the root of the mean square."""
    weight_decay: float = 0.0
    """Decoupled decay of a row at each of its touches, times the learning rate."""

    def __post_init__(self):
        _check(self)
        for field in ("beta1", "beta2"):
            value = getattr(self, field)
            check(0 <= value < 1, f"embedding.optimizer.{field} is {value}; give 0 to below 1")

    def slots(self) -> dict[str, Slot]:
        """Two numbers per element."""
        return {"mean": Slot(wide=True), "square": Slot(wide=True)}

    def update(self, rows, slots, gradient, step, factor):
        """rows − rate · m̂ / (√v̂ + ε)."""
        mean = self.beta1 * slots["mean"] + (1 - self.beta1) * gradient
        square = self.beta2 * slots["square"] + (1 - self.beta2) * jnp.square(gradient)
        count = jnp.asarray(step, jnp.float32) + 1
        unbiased = mean / (1 - self.beta1**count)
        root = jnp.sqrt(square / (1 - self.beta2**count))
        direction = unbiased / (root + self.epsilon)
        return _descend(self, rows, direction, factor), {"mean": mean, "square": square}


@dataclasses.dataclass(frozen=True)
class Sgd(RowOptimizer):
    """Stochastic gradient descent; nothing is kept beside the table."""

    learning_rate: float = 0.1
    """Peak learning rate."""
    weight_decay: float = 0.0
    """Decoupled decay of a row at each of its touches, times the learning rate."""

    def __post_init__(self):
        _check(self)

    def slots(self) -> dict[str, Slot]:
        """None."""
        return {}

    def update(self, rows, slots, gradient, step, factor):
        """rows − rate · gradient."""
        return _descend(self, rows, gradient, factor), {}


def _descend(optimizer, rows: Array, direction: Array, factor) -> Array:
    rate = optimizer.learning_rate * factor
    if optimizer.weight_decay:
        direction = direction + optimizer.weight_decay * rows
    return rows - rate * direction


def _check(optimizer) -> None:
    rate, decay = optimizer.learning_rate, optimizer.weight_decay
    check(rate > 0, f"embedding.optimizer.learning_rate is {rate}; give more than 0")
    check(decay >= 0, f"embedding.optimizer.weight_decay is {decay}; give 0 or more")
    for field in ("initial", "epsilon"):
        value = getattr(optimizer, field, 0.0)
        check(value >= 0, f"embedding.optimizer.{field} is {value}; give 0 or more")
