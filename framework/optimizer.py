"""Optimizers: optax chains, each built by the dataclass that stands in the config."""

import dataclasses

import jax
import optax

from framework.config import Optimizer
from framework.error import check


@dataclasses.dataclass(frozen=True)
class AdamW(Optimizer):
    """AdamW (Loshchilov & Hutter, 2019) with linear warm-up, cosine decay and clipping."""

    learning_rate: float = 1e-3
    """Peak learning rate."""
    warmup_steps: int = 100
    """Steps from zero to the peak."""
    final_fraction: float = 0.1
    """Learning rate at the last step, as a fraction of the peak."""
    weight_decay: float = 0.0
    """Decoupled weight decay, on arrays of two or more dimensions."""
    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.98
    """Decay of the mean of squared gradients."""
    clip_norm: float = 1.0
    """Largest global norm of a gradient."""

    def __post_init__(self):
        check(self.learning_rate > 0, f"optimizer.learning_rate is {self.learning_rate}")
        check(self.warmup_steps >= 0, f"optimizer.warmup_steps is {self.warmup_steps}")
        check(self.clip_norm > 0, f"optimizer.clip_norm is {self.clip_norm}; give more than 0")

    def schedule(self, steps: int) -> optax.Schedule:
        """Learning rate by step, for a run of `steps`."""
        warmup = min(self.warmup_steps, steps // 2)
        return optax.warmup_cosine_decay_schedule(
            init_value=self.learning_rate / max(warmup, 1),
            peak_value=self.learning_rate,
            warmup_steps=warmup,
            decay_steps=steps,
            end_value=self.learning_rate * self.final_fraction,
        )

    def build(self, steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of `steps`."""
        return optax.chain(
            optax.clip_by_global_norm(self.clip_norm),
            optax.adamw(
                self.schedule(steps),
                b1=self.beta1,
                b2=self.beta2,
                weight_decay=self.weight_decay,
                mask=lambda parameters: jax.tree.map(lambda leaf: leaf.ndim > 1, parameters),
            ),
        )
