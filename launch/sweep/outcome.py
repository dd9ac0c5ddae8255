"""What came of a sweep: the candidates beside each other, the winner, and what it is on the test
split."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from podway.framework import artifact, codec
from podway.framework.artifact.upgrade import Choice
from podway.framework.config import Experiment
from podway.framework.config.sweep import Value
from podway.framework.error import PodwayError
from podway.framework.evaluation.evaluator import answers
from podway.framework.evaluation.evaluators import evaluator_of
from podway.framework.input.batches import Dataset
from podway.framework.metrics import ranking
from podway.framework.runs import run
from podway.launch import stages
from podway.launch.cost import bill as bills
from podway.launch.cost import rate
from podway.launch.cost.bill import Bill
from podway.launch.sweep import candidates, quantities, winner
from podway.launch.sweep.plan import Plan
from podway.launch.sweep.trial import Trial
from podway.launch.sweep.winner import Candidate, Decision


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a sweep.

    Attributes:
      trials: all of them.
      front: numbers of those that none beats in all objectives.
      decision: which one wins, and how the candidates stand; None: none was trained to its end.
      values: of the fields of the winner, by path.
      run: folder of the winner's run.
      evaluation: folder of its evaluation on the test split.
      test: its row of that table.
      bill: what the trainings have cost; None: nobody asked.
    """

    trials: Sequence[Trial]
    front: Sequence[int]
    decision: Decision | None = None
    values: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    run: str = ""
    evaluation: str = ""
    test: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    bill: Bill | None = None


class NoWinnerError(PodwayError, RuntimeError):
    """No trial was trained to its end; the message says what became of them."""


def decide(plan: Plan, trials: Sequence[Trial]) -> Decision | None:
    """Which candidate wins, by the validation split with all seeds."""
    _, largest_is_best = quantities.metric_of(plan.experiment)
    found = [_candidate(plan, each) for each in candidates.of(plan, trials)]
    return winner.decide(found, largest_is_best=largest_is_best, errors=plan.sweep.winner.errors)


def of(plan: Plan, trials: Sequence[Trial]) -> Outcome:
    """The outcome; the winner is evaluated on the test split, which no other trial has seen.

    Raises NoWinnerError.
    """
    _, largest_is_best = quantities.metric_of(plan.experiment)
    front = [
        each.number
        for each in candidates.on_front(trials, plan.sweep, largest_is_best=largest_is_best)
    ]
    decision = decide(plan, trials)
    if decision is None:
        raise NoWinnerError(
            f"no trial of {len(trials)} was trained to its end, so there is no winner:"
            f" {why_not(trials)}"
        )
    chosen = next(each for each in trials if each.number == decision.winner)
    experiment = candidates.experiment(plan, chosen)
    _, trained = stages.evaluate(experiment, plan.workdir, plan.code)
    run.make_latest(trained)
    evaluation, table = _evaluation(experiment, trained, plan)
    return Outcome(trials, front, decision, chosen.values, str(trained), str(evaluation), table)


def why_not(trials: Sequence[Trial]) -> str:
    """What became of the trials, where none was trained to its end."""
    told = [each for each in trials if each.reason]
    if told:
        return f"{told[-1].state}, the last one: {told[-1].reason}"
    if any(each.state == "pruned" for each in trials):
        return "all were pruned; give pruner.first more evaluations, or more trials"
    return "none has begun, or all were left; give more minutes"


def _evaluation(
    experiment: Experiment, trained: epath.Path, plan: Plan
) -> tuple[epath.Path, dict[str, Any]]:
    from podway.framework.comparison import evaluation
    from podway.framework.report import artefacts

    manifest = artifact.read_manifest(trained, "run")
    found = evaluation.directory(experiment, manifest, plan.workdir, plan.code)
    return found, dict(artefacts.table(found)[evaluation.own_name(experiment)])


def _candidate(plan: Plan, trial: Trial) -> Candidate:
    """A trial with all seeds. One whose training failed with a seed has no number there."""
    seeds, users = [], []
    for seed in range(plan.sweep.winner.seeds):
        found = _trained(candidates.experiment(plan, trial, seed), plan.workdir, plan.code)
        if found is None:
            seeds.append(math.nan)
            continue
        quality, each = found
        seeds.append(quality)
        users.append(each)
    whole = len(users) == len(seeds) and all(each is not None for each in users)
    mean = np.mean(users, axis=0) if whole else None
    return Candidate(trial.number, seeds, mean, candidates.cost(trial, plan.sweep))


def _trained(
    experiment: Experiment, workdir: str, code: Choice | None
) -> tuple[float, np.ndarray | None] | None:
    """The validation metric of an experiment's run, of all and of each user; None: no run."""
    dataset, others = stages.datasets(experiment, workdir, build=False, code=code)
    directory = run.directory(experiment, run.inputs(dataset, others), workdir, code, look=True)
    if not artifact.exists(directory):
        return None
    metric, _ = quantities.metric_of(experiment)
    manifest = artifact.read_manifest(directory, "run")
    quality = manifest.details["validation"].get(metric)
    quality = math.nan if quality is None else float(quality)
    return quality, per_user(experiment, directory, dataset)


def per_user(experiment: Experiment, directory: epath.Path, dataset: Dataset) -> np.ndarray | None:
    """The metric that selects the checkpoint, of each validation user; None: it has no users."""
    metric, _ = quantities.metric_of(experiment)
    name, _, k = metric.partition("@")
    if name not in ranking.PER_USER or not k.isdigit():
        return None
    _, _, parameters = run.load(directory, experiment)
    evaluator = evaluator_of(experiment.model, experiment.evaluation)
    evaluate = evaluator.for_split(dataset, "validation", intervals=False)
    ranks = evaluate(answers(evaluator, dataset.schema, parameters)).ranks
    return None if ranks is None else ranking.PER_USER[name](ranks, int(k))


def overrides(values: Mapping[str, Value]) -> str:
    """Values of fields as options of the command."""
    return " ".join(_option(path, value) for path, value in values.items())


def _option(path: str, value: Value) -> str:
    flag = path.replace("_", "-")
    if isinstance(value, bool):
        *above, name = flag.split(".")
        return f"--{flag}" if value else f"--{'.'.join([*above, f'no-{name}'])}"
    if isinstance(value, tuple):
        return f"--{flag} {' '.join(map(str, value))}"
    return f"--{flag} {value}"


def to_json(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """All of it as plain values."""
    metric, largest_is_best = quantities.metric_of(plan.experiment)
    decision = outcome.decision
    return {
        "name": plan.experiment.name,
        "version": plan.version,
        "config": plan.config,
        "metric": metric,
        "largest_is_best": largest_is_best,
        "sweep": codec.to_json(plan.sweep),
        "experiment": codec.to_json(plan.experiment),
        "trials": [_trial(each, outcome.bill) for each in outcome.trials],
        "units": {name: quantities.unit(name, plan.currency) for name in quantities.UNITS},
        "money": _money(plan, outcome.bill),
        "front": list(outcome.front),
        "winner": None
        if decision is None
        else {
            "number": decision.winner,
            "best": decision.best,
            "standings": {
                str(number): dataclasses.asdict(each) for number, each in decision.standings.items()
            },
            "values": codec_values(outcome.values),
            "overrides": overrides(outcome.values),
            "run": outcome.run,
            "evaluation": outcome.evaluation,
            "test": outcome.test,
        },
    }


def _money(plan: Plan, bill: Bill | None) -> dict[str, Any] | None:
    """What answers and trainings cost, and by which prices."""
    if bill is None or plan.core is None:
        return None
    return {
        "currency": bill.currency,
        "answers": {"formula": rate.FORMULA, "price": plan.core.told()},
        "trainings": {
            "formula": bills.FORMULA,
            "prices": [each.told() for each in bill.rates.values()],
            "seconds": dict(bill.seconds),
            "trials": _known(math.fsum(bill.trials.values())),
            "seeds": _known(bill.seeds),
            "total": _known(bill.total),
        },
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _trial(each: Trial, bill: Bill | None) -> dict[str, Any]:
    found = dataclasses.asdict(each)
    if bill is not None and math.isfinite(bill.trials.get(each.number, math.nan)):
        known = {**each.quantities, "training_cost": bill.trials[each.number]}
        found |= {"quantities": known}
    return found | {
        "values": codec_values(each.values),
        "validation": [[step, value] for step, value in sorted(each.validation.items())],
    }


def codec_values(values: Mapping[str, Value]) -> dict[str, Any]:
    """Values of fields as JSON has them."""
    return {path: codec.to_json(value) for path, value in values.items()}
