"""What a sweep will cost, before it begins: its trainings, their time, and the price of that."""

import contextlib
import dataclasses
import math
import random
import time
from collections.abc import Sequence

from podway.beam import place
from podway.framework import artifact
from podway.framework.config import Experiment
from podway.framework.config.sweep import Choice, Dimension, Float, Int, Value
from podway.framework.devices.topology import Topology
from podway.framework.error import ConfigError, PodwayError
from podway.framework.input.dataset import Dataset
from podway.framework.page import text as words
from podway.framework.runs import goodput, run
from podway.framework.schema.schema import Schema
from podway.launch import stages
from podway.launch.cost.bill import Bill, Rates, money
from podway.launch.cost.rate import CORE, Rate
from podway.launch.plan import defaults, step
from podway.launch.sweep import space
from podway.launch.sweep.plan import Plan
from podway.launch.sweep.text import money as amount
from podway.launch.sweep.trial import Trial

_SAMPLES = 3
"""Experiments of the space whose step is compiled, the config's own among them."""
_DONE = ("complete", "pruned", "failed")
_GOODPUT = next(each.value for each in defaults.RULES if each.name == "goodput")
"""Share of a run's time that is steps."""


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What is left to train, and what that takes.

    Attributes:
      trials: that are left.
      seeds: trainings of candidates with other seeds, at most.
      device: what a worker trains on.
      count: how many of it.
      seconds: of a training; None: unknown.
      basis: how that is known, or why it is not.
      rate: price of an hour of one device.
      bill: what the sweep has cost so far.
    """

    trials: int
    seeds: int
    device: str
    count: float
    seconds: float | None
    basis: str
    rate: Rate
    bill: Bill

    @property
    def cost(self) -> float:
        """Of all that is left, as if no trial were pruned; not a number: unknown."""
        if self.seconds is None:
            return math.nan
        held = {self.device: (self.trials + self.seeds) * self.count * self.seconds}
        return money(held, {self.device: self.rate})

    def lines(self) -> list[str]:
        """For the terminal."""
        unit = "vCPU" if self.device == CORE else f"chip of {self.device}"
        of = f"{self.count:g} {unit}{'s' * (self.count != 1 and self.device == CORE)}"
        took = "unknown" if self.seconds is None else words.span(self.seconds)
        return [
            f"trials      {self.trials} to train, {len(self.bill.trials)} begun",
            f"seeds       {self.seeds} trainings more of the candidates, at most",
            f"a training  {took} on {of}: {self.basis}",
            f"will cost   {self._will()}",
            f"has cost    {amount(self.bill.total, self.bill.currency)}",
            f"price       {self.rate.told()}",
        ]

    def _will(self) -> str:
        if self.seconds is not None and self.rate.amount is None:
            return "unknown: its price is"
        if not math.isfinite(self.cost):
            return "unknown: the time of a training is"
        return f"{amount(self.cost, self.rate.currency)}, if no trial is pruned or refused"


def of(
    plan: Plan,
    trials: Sequence[Trial],
    bill: Bill,
    device: tuple[str, float],
    pod: Topology,
    rates: Rates,
) -> Forecast:
    """The forecast.

    Args:
      plan: of the sweep.
      trials: that there are already.
      bill: of them.
      device: what a worker trains on: its name, and how many of it.
      pod: the same, to compile for.
      rates: what an hour of a device costs.
    """
    done = [each for each in trials if each.state in _DONE]
    left = max(0, plan.sweep.trials - len(done))
    winner = plan.sweep.winner
    reported = (plan.directory / "sweep.json").exists()
    seeds = 0 if reported and not left else winner.candidates * (winner.seeds - 1)
    name, count = device
    seconds, basis = _seconds(plan, done, name, count, pod)
    return Forecast(left, seeds, name, count, seconds, basis, rates(name), bill)


def _seconds(
    plan: Plan, done: Sequence[Trial], name: str, count: float, pod: Topology
) -> tuple[float | None, str]:
    """Of a training: as trials took, as the experiment's run took, or as its program says."""
    took = [each.seconds[name] / count for each in done if name in each.seconds]
    if took:
        return sum(took) / len(took), f"the mean of {len(took)} trials of this sweep"
    if not stages.takes_steps(plan.experiment):
        return None, f"{plan.experiment.name} is not trained in steps"
    try:
        directory = place.directory(plan.experiment.data, plan.workdir, look=True)
        if not artifact.exists(directory):
            return None, (
                "the dataset is not there yet, so that no step can be compiled: `podway data"
                f" {plan.config} --workdir {plan.workdir}` makes it"
            )
        if own := _own(plan):
            return own, "as the experiment's own run took"
    except PodwayError as error:
        return None, f"no dataset: {error}"
    return _compiled(plan, Dataset.open(directory).schema, pod)


def _own(plan: Plan) -> float | None:
    """Seconds that the finished run of the experiment itself took."""
    found, others = stages.datasets(plan.experiment, plan.workdir, build=False, code=plan.code)
    inputs = run.inputs(found, others)
    directory = run.directory(plan.experiment, inputs, plan.workdir, plan.code, look=True)
    account = goodput.read(directory / goodput.FILE) if artifact.exists(directory) else None
    if account is None:
        return None
    seconds = account["seconds"]
    return math.fsum(each for phase, each in seconds.items() if phase not in ("waiting", "away"))


def _compiled(plan: Plan, schema: Schema, pod: Topology) -> tuple[float | None, str]:
    """The mean over some experiments of the space, of those that this device can hold."""
    found: list[tuple[float, step.Step]] = []
    for experiment in _sampled(plan):
        began = time.monotonic()
        with contextlib.suppress(ConfigError):
            known = step.of(experiment, schema, pod)
            taken = experiment.trainer.steps * known.seconds * known.slowdown / _GOODPUT
            taken += time.monotonic() - began
            if math.isfinite(taken):
                found.append((taken, known))
    if not found:
        return None, f"no experiment of the space that was tried fits {pod}"
    seconds = [each for each, _ in found]
    known = found[0][1]
    return sum(seconds) / len(seconds), (
        f"predicted, from {words.span(min(seconds))} to {words.span(max(seconds))} of"
        f" {len(seconds)} experiments of the space: steps of {1e3 * known.seconds:.3g} ms"
        f" ({known.source}), × {known.slowdown:g}, / {_GOODPUT:g} for evaluations and saves, and as"
        " long to compile as it took here"
    )


def _sampled(plan: Plan) -> list[Experiment]:
    draw, found = random.Random(plan.sweep.seed), [plan.experiment]
    for _ in range(_SAMPLES - 1):
        values = {each.field: _drawn(each, draw) for each in plan.sweep.space}
        with contextlib.suppress(ConfigError):
            experiment = space.placed(plan.experiment, values)
            if _shape(experiment) not in map(_shape, found):
                found.append(experiment)
    return found


def _shape(experiment: Experiment) -> tuple:
    """What its time hangs on."""
    return (experiment.model, experiment.trainer.steps, experiment.trainer.batch_size)


def _drawn(each: Dimension, draw: random.Random) -> Value:
    match each:
        case Choice(values=values):
            return draw.choice(values)
        case Float(low=low, high=high, log=True):
            return math.exp(draw.uniform(math.log(low), math.log(high)))
        case Float(low=low, high=high):
            return draw.uniform(low, high)
        case Int(low=low, high=high, log=True):
            return round(math.exp(draw.uniform(math.log(low), math.log(high))))
        case Int(low=low, high=high, step=by):
            return draw.randrange(low, high + 1, by)
    raise TypeError(each)
