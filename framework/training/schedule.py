"""Schedules: how the learning rate rises and falls over a run, the same for every optimizer."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
import optax

from podway.framework.config import Optimizer
from podway.framework.config.fields import later
from podway.framework.error import check

Schedule = Callable[[Any], Any]
"""Step, from 0 → a number."""


@dataclasses.dataclass(frozen=True)
class Scheduled(Optimizer):
    """An optimizer whose learning rate follows a schedule."""

    learning_rate: float = 1e-3
    """Peak learning rate."""
    warmup_steps: int = 100
    """Steps from zero to the peak; of schedules that end, at most half of all steps."""
    final_fraction: float = 0.1
    """Learning rate at the last step, as a fraction of the peak: of cosine, linear and wsd."""
    schedule: Literal["cosine", "linear", "wsd", "constant", "inverse_square_root"] = later(
        "cosine"
    )
    """After the warm-up: cosine or linear, down to the last step; wsd, at the peak until the last
    decay_fraction of the steps, then linear; constant, at the peak; inverse_square_root, peak ·
    √(warmup_steps / step). The last two do not depend on the number of steps, so a run can be
    trained on as if it had not ended."""
    decay_fraction: float = later(0.2)
    """Share of the steps in which wsd falls."""

    def __post_init__(self):
        rate, warmup = self.learning_rate, self.warmup_steps
        check(rate > 0, f"optimizer.learning_rate is {rate}; give more than 0")
        check(warmup >= 0, f"optimizer.warmup_steps is {warmup}; give 0 or more")
        for field in ("final_fraction", "decay_fraction"):
            value = getattr(self, field)
            check(0 <= value <= 1, f"optimizer.{field} is {value}; give 0 to 1")

    def decay(self, step: Any, steps: int) -> Any:
        """The learning rate of a step, as a fraction of its peak in a run of `steps`."""
        return _SCHEDULES[self.schedule](self, steps)(step)

    def build(self, steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of `steps`."""
        return self.following(lambda step: self.learning_rate * self.decay(step, steps))

    def following(self, rate: Schedule) -> optax.GradientTransformation:
        """The optax transformation whose learning rate is `rate` of the step."""
        raise NotImplementedError


def _cosine(options: Scheduled, steps: int) -> Schedule:
    warmup = min(options.warmup_steps, steps // 2)
    return optax.warmup_cosine_decay_schedule(
        init_value=1 / max(warmup, 1),
        peak_value=1.0,
        warmup_steps=warmup,
        decay_steps=steps,
        end_value=options.final_fraction,
    )


def _linear(options: Scheduled, steps: int) -> Schedule:
    warmup = min(options.warmup_steps, steps // 2)
    return _warmed(warmup, _falling(options, steps - warmup))


def _wsd(options: Scheduled, steps: int) -> Schedule:
    """Warm-up, stable, decay (Hu et al., 2024, arXiv:2404.06395)."""
    warmup = min(options.warmup_steps, steps // 2)
    falling = min(round(options.decay_fraction * steps), steps - warmup)
    stable = steps - warmup - falling
    parts = [optax.constant_schedule(1.0), _falling(options, falling)]
    return _warmed(warmup, optax.join_schedules(parts, [stable]))


def _constant(options: Scheduled, steps: int) -> Schedule:
    return _warmed(options.warmup_steps, optax.constant_schedule(1.0))


def _inverse_square_root(options: Scheduled, steps: int) -> Schedule:
    """As in Vaswani et al. (2017, arXiv:1706.03762)."""
    peak = max(options.warmup_steps, 1)

    def after(step: Any) -> Any:
        return jnp.sqrt(peak / jnp.maximum(step + options.warmup_steps, peak))

    return _warmed(options.warmup_steps, after)


def _falling(options: Scheduled, steps: int) -> Schedule:
    return optax.linear_schedule(1.0, options.final_fraction, max(steps, 1))


def _warmed(steps: int, after: Schedule) -> Schedule:
    """A linear rise to 1, and another schedule, whose steps count from the end of the rise."""
    rise = optax.linear_schedule(1 / max(steps, 1), 1.0, steps)
    return optax.join_schedules([rise, after], [steps]) if steps else after


_SCHEDULES: dict[str, Callable[[Scheduled, int], Schedule]] = {
    "cosine": _cosine,
    "linear": _linear,
    "wsd": _wsd,
    "constant": _constant,
    "inverse_square_root": _inverse_square_root,
}
