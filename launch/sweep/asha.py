"""Which trials end early: asynchronous successive halving (Li et al. 2020, arXiv:1810.05934).

Optuna has it for one objective. Here a trial is held against those alone that cost no more than it
does: with several objectives, a small model is not ended because a large one is better. What it is
then behind of beats it in all that is counted.
"""

import math
from collections.abc import Mapping, Sequence

from podway.framework.config.sweep import Asha


def is_rung(evaluations: int, options: Asha) -> bool:
    """Whether a trial is decided on after so many evaluations."""
    rung = options.first
    while rung < evaluations:
        rung *= options.factor
    return rung == evaluations


def ends(
    values: Sequence[float],
    others: Sequence[Sequence[float]],
    options: Asha,
    *,
    largest_is_best: bool,
) -> bool:
    """Whether a trial ends after its last evaluation.

    Args:
      values: of the metric at its evaluations so far.
      others: those of the trials that it is held against, which may have come less far.
      options: of the pruner.
      largest_is_best: of the metric.

    What is not a number is behind all, and goes on nowhere.
    """
    count = len(values)
    if not is_rung(count, options):
        return False
    if math.isnan(values[-1]):
        return True
    sign = 1.0 if largest_is_best else -1.0
    there = [sign * each[count - 1] for each in others if len(each) >= count]
    there = [value for value in there if not math.isnan(value)]
    own = sign * values[-1]
    kept = max(1, (len(there) + 1) // options.factor)
    return sum(value > own for value in there) >= kept


def competes(own: Mapping[str, float], other: Mapping[str, float], costs: Sequence[str]) -> bool:
    """Whether another trial costs no more, in all that is an objective."""
    return all(other.get(name, math.inf) <= own.get(name, math.inf) for name in costs)
