"""Optimizers: optax chains, each built by the dataclass that stands in the config."""

import dataclasses
from typing import Any

import optax

from podway.framework.config import Optimizer
from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class AdamW(Optimizer):
    """AdamW (Loshchilov & Hutter, 2019) with linear warm-up and cosine decay."""

    learning_rate: float = 1e-3
    """Peak learning rate."""
    warmup_steps: int = 100
    """Steps from zero to the peak."""
    final_fraction: float = 0.1
    """Learning rate at the last step, as a fraction of the peak."""
    weight_decay: float = 0.0
    """Decoupled weight decay, on all but biases and the scales of norms."""
    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.98
    """Decay of the mean of squared gradients."""

    def __post_init__(self):
        check(self.learning_rate > 0, f"optimizer.learning_rate is {self.learning_rate}")
        check(self.warmup_steps >= 0, f"optimizer.warmup_steps is {self.warmup_steps}")

    def decay(self, step: Any, steps: int) -> Any:
        """The learning rate of a step, as a fraction of its peak in a run of `steps`."""
        warmup = min(self.warmup_steps, steps // 2)
        return optax.warmup_cosine_decay_schedule(
            init_value=1 / max(warmup, 1),
            peak_value=1.0,
            warmup_steps=warmup,
            decay_steps=steps,
            end_value=self.final_fraction,
        )(step)

    def build(self, steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of `steps`."""
        return optax.adamw(
            lambda step: self.learning_rate * self.decay(step, steps),
            b1=self.beta1,
            b2=self.beta2,
            weight_decay=self.weight_decay,
            mask=_decays,
        )


def _decays(parameters: Any) -> dict[str, bool]:
    """Path → whether the parameter decays. Scales of stacked layers have two dimensions, too."""
    return {path: path.rpartition("/")[2] not in ("bias", "scale") for path in parameters}
