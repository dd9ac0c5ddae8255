"""The trials among which the winner is sought, and the trainings that this takes."""

import math
from collections.abc import Sequence

from podway.framework.config import Experiment
from podway.framework.config.sweep import Sweep
from podway.launch.sweep import quantities, space, winner
from podway.launch.sweep.plan import Plan
from podway.launch.sweep.trial import Trial

_DIGITS = 2
"""Of what is timed, beyond which they are noise."""


def finished(trials: Sequence[Trial]) -> list[Trial]:
    """Those that were trained to their end and have a quality, each run once."""
    found: dict[str, Trial] = {}
    for each in trials:
        if each.state == "complete" and math.isfinite(each.quality):
            found.setdefault(each.run, each)
    return list(found.values())


def on_front(trials: Sequence[Trial], sweep: Sweep, *, largest_is_best: bool) -> list[Trial]:
    """The finished trials that no other one beats in all objectives."""
    sign, done = -1.0 if largest_is_best else 1.0, finished(trials)
    rows = [[sign * each.quality, *(each.amount(name) for name in sweep.costs)] for each in done]
    return [done[at] for at in winner.front(rows)]


def cost(trial: Trial, sweep: Sweep) -> tuple[float, ...]:
    """What a trial costs, what counts most first: objectives as they stand, then how large it is,
    then how long it trained."""
    amounts = {name: trial.amount(name) for name in sweep.costs}
    for name in amounts.keys() & set(quantities.TIMED):
        amounts[name] = float(f"{amounts[name]:.{_DIGITS}g}")
    rest = [trial.quantities.get(name, 0.0) for name in ("parameters", "examples")]
    return (*amounts.values(), *rest)


def of(plan: Plan, trials: Sequence[Trial]) -> list[Trial]:
    """The candidates: of the front of quality and cost the best, filled up with the next best."""
    _, largest_is_best = quantities.metric_of(plan.experiment)
    sign, done = -1.0 if largest_is_best else 1.0, finished(trials)
    rows = [[sign * each.quality, *cost(each, plan.sweep)] for each in done]
    order = sorted(range(len(done)), key=lambda at: (rows[at], done[at].number))
    front = set(winner.front(rows))
    chosen = [at for at in order if at in front] + [at for at in order if at not in front]
    return [done[at] for at in chosen[: plan.sweep.winner.candidates]]


def experiment(plan: Plan, trial: Trial, seed: int = 0) -> Experiment:
    """What a candidate is, with the experiment's own seed plus `seed`."""
    first = plan.experiment.trainer.seed
    return space.placed(plan.experiment, {**trial.values, "trainer.seed": first + seed})


def trainings(plan: Plan, trials: Sequence[Trial]) -> list[tuple[Trial, int]]:
    """Each candidate with each seed, the first of which its trial has done."""
    seeds = range(1, plan.sweep.winner.seeds)
    return [(each, seed) for seed in seeds for each in of(plan, trials)]
