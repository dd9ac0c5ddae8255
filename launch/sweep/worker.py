"""A worker of a sweep: takes up trials, as long as there are any, then the candidates' seeds.

    python -P -m podway.launch.sweep.worker FOLDER NUMBER WORKERS [DEADLINE]

FOLDER is the sweep's; WORKERS share the machine; DEADLINE, in seconds since 1970, is when no
further trial begins. The database's address is in the environment, as it may hold a password.
"""

import functools
import json
import math
import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import optuna
from etils import epath

from podway.framework import artifact, exit_codes, termination
from podway.framework.artifact.upgrade import CodeChanged
from podway.framework.config import Experiment
from podway.framework.config.sweep import Asha
from podway.framework.error import ConfigError, PodwayError
from podway.framework.runs import records, run
from podway.framework.runs.lock import Holder, LockedError
from podway.framework.training.loop import TrainingError
from podway.launch import console, stages
from podway.launch.cost import bill
from podway.launch.sweep import asha, candidates, plan, quantities, space, study
from podway.launch.sweep.plan import Plan
from podway.launch.sweep.trial import Trial, counted

STORAGE = "PODWAY_SWEEP_STORAGE"
"""In the environment: where the trials are; empty: in the sweep's folder."""
REFUSED = 10
"""Refused trials for each that shall be trained, after which no other is drawn."""
_PAUSE = 1.0
_HOPELESS = 5
"""Trials that went wrong, without one that went well, after which none is tried."""

R = TypeVar("R")


class HopelessError(PodwayError, RuntimeError):
    """All trials fail alike; the message says how."""


class _Surplus(Exception):
    """This attempt counts for nothing."""


class Worker:
    """Takes up trials.

    Args:
      of: the sweep.
      number: of the worker.
      deadline: when no further trial begins; math.inf: never.
      workers: that share the machine, with this one.
    """

    def __init__(self, of: Plan, number: int, deadline: float = math.inf, workers: int = 1):
        self._device, self._share = bill.held(workers)
        self._plan, self._number, self._deadline = of, number, deadline
        self._study = study.open_study(of)
        self._metric, self._largest_is_best = quantities.metric_of(of.experiment)

    def search(self) -> None:
        """Trains trials until there are enough, and nobody trains one any more."""
        while True:
            study.mend(self._study)
            trials = study.read(self._study, self._plan.sweep)
            waiting = any(each.state == "waiting" for each in trials)
            if time.time() >= self._deadline or not (waiting or self._may_begin(trials)):
                if not any(each.state == "running" for each in trials):
                    return
                time.sleep(_PAUSE)
                continue
            self._study.sampler = study.sampler(self._plan, self._number, len(trials))
            self._study.optimize(self._try, n_trials=1, catch=(_Surplus,))

    def _may_begin(self, trials: Sequence[Trial]) -> bool:
        most = self._plan.sweep.trials
        wrong = [each for each in trials if each.state == "failed"]
        if len(wrong) >= _HOPELESS and not candidates.finished(trials):
            raise HopelessError(
                f"{len(wrong)} trials failed and none was trained to its end; the last one:"
                f" {wrong[-1].reason}"
            )
        refused = sum(each.state == "refused" for each in trials)
        return counted(trials) < most and refused < REFUSED * most

    def repeat(self) -> None:
        """Trains the candidates with their other seeds, each in one worker."""
        trials = study.read(self._study, self._plan.sweep)
        left = candidates.trainings(self._plan, trials)
        while left:
            for each, seed in list(left):
                name = f"{each.number}.{seed} {uuid.uuid4().hex[:8]}"
                note = functools.partial(study.note_repeated, self._study, name)
                try:
                    self._train(candidates.experiment(self._plan, each, seed), note)
                except LockedError:
                    continue
                except TrainingError as error:
                    print(f"trial {each.number}, seed {seed}: {error}", flush=True)
                left.remove((each, seed))
            if left:
                time.sleep(_PAUSE)

    def _try(self, attempt: optuna.Trial) -> float | tuple[float, ...]:
        """Trains a trial; what Optuna calls an objective."""
        attempt.set_user_attr(study.WORKER, Holder.here().text())
        if study.is_surplus(self._study, attempt.number, self._plan.sweep.trials):
            attempt.set_user_attr(study.SURPLUS, True)
            raise _Surplus
        values = study.suggested(attempt, self._plan.sweep)
        print(f"attempt {attempt.number}: {values}", flush=True)
        try:
            return self._trained(attempt, values)
        except (optuna.TrialPruned, _Surplus):
            raise
        except (stages.Stopped, KeyboardInterrupt, CodeChanged):
            attempt.set_user_attr(study.STOPPED, True)
            raise
        except Exception as error:
            attempt.set_user_attr(study.PROBLEM, f"{type(error).__name__}: {error}"[:2000])
            raise

    def _trained(self, attempt: optuna.Trial, values: Mapping) -> float | tuple[float, ...]:
        sweep = self._plan.sweep
        try:
            experiment = space.placed(self._plan.experiment, values)
            known = self._measured(experiment)
        except ConfigError as error:
            raise self._refused(attempt, str(error)) from error
        attempt.set_user_attr(study.QUANTITIES, study.plain(known))
        if over := quantities.broken(known, sweep.limits):
            for name, share in over.items():
                attempt.set_constraint(name, share - 1 if math.isfinite(share) else 1.0)
            raise self._refused(attempt, _said(over, known, sweep, self._plan.currency))
        seen = self._history(experiment)
        watch = _Watch(self._study, attempt, self._plan, known, seen, self._deadline)
        try:
            note = functools.partial(attempt.set_user_attr, study.SECONDS)
            directory = self._waiting(lambda: self._train(experiment, note, watch))
        except stages.Stopped:
            if watch.ended:
                raise optuna.TrialPruned from None
            raise
        except (TrainingError, ConfigError) as error:
            attempt.set_user_attr(study.FAILED, str(error)[:2000])
            raise optuna.TrialPruned from error
        except Exception as error:
            if not exit_codes.is_out_of_memory(error):
                raise
            raise self._refused(attempt, "the memory of the device does not hold it") from error
        return self._finished(attempt, directory, known)

    def _finished(
        self, attempt: optuna.Trial, directory: epath.Path, known: Mapping[str, float]
    ) -> float | tuple[float, ...]:
        manifest = artifact.read_manifest(directory, "run")
        quality = manifest.details["validation"].get(self._metric)
        quality = math.nan if quality is None else float(quality)
        attempt.set_user_attr(study.RUN, manifest.version)
        attempt.set_user_attr(study.QUALITY, quality if math.isfinite(quality) else None)
        if not math.isfinite(quality):
            attempt.set_user_attr(study.FAILED, f"{self._metric} is not a number")
            raise optuna.TrialPruned
        amounts = {"quality": quality, **known}
        if not self._plan.sweep.costs:
            return quality
        return tuple(amounts[name] for name in self._plan.sweep.objectives)

    def _measured(self, experiment: Experiment) -> dict[str, float]:
        dataset, _ = stages.datasets(
            experiment, self._plan.workdir, build=True, code=self._plan.code
        )
        return quantities.measure(experiment, dataset, self._plan.sweep.measured, self._plan.core)

    def _history(self, experiment: Experiment) -> dict[int, float]:
        """{step: the metric} of what is there of the run, by an earlier attempt or a like trial."""
        of = self._plan
        dataset, others = stages.datasets(experiment, of.workdir, build=False, code=of.code)
        inputs = run.inputs(dataset, others)
        directory = run.directory(experiment, inputs, of.workdir, of.code, look=True)
        name = f"validation/{self._metric}"
        found = records.read(directory / records.METRICS)
        return {each["step"]: _number(each[name]) for each in found if name in each}

    def _train(
        self,
        experiment: Experiment,
        note: Callable[[Mapping[str, float]], None],
        watch: "_Watch | None" = None,
    ) -> epath.Path:
        """Trains it; `note` is told of the seconds that devices were held, again and again."""
        began = time.monotonic()

        def seen(step: int, metrics: Mapping[str, float]) -> bool:
            note(self._held(began))
            return watch is not None and watch(step, metrics)

        options = stages.TrainOptions(code=self._plan.code, watch=seen)
        try:
            directory = stages.train(experiment, self._plan.workdir, options)[1]
        except LockedError:
            raise  # somebody else trains it, and notes it down
        except BaseException:
            note(self._held(began))
            raise
        note(self._held(began))
        return directory

    def _held(self, began: float) -> dict[str, float]:
        return {self._device: self._share * (time.monotonic() - began)}

    def _waiting(self, act: Callable[[], R]) -> R:
        """Does it as soon as nobody else trains the same run: trials may have the same values."""
        while True:
            try:
                return act()
            except LockedError:
                time.sleep(_PAUSE)

    def _refused(self, attempt: optuna.Trial, reason: str) -> optuna.TrialPruned:
        attempt.set_user_attr(study.REFUSED, reason[:2000])
        print(f"attempt {attempt.number} is refused: {reason}", flush=True)
        if not self._study.trials[attempt.number].constraints:
            attempt.set_constraint("config", 1.0)
        return optuna.TrialPruned()


class _Watch:
    """Sees a trial's evaluations, and says when it is left.

    Attributes:
      ended: whether the pruner ended it.
    """

    def __init__(
        self,
        of: optuna.Study,
        attempt: optuna.Trial,
        plan: Plan,
        known: Mapping[str, float],
        seen: Mapping[int, float],
        deadline: float,
    ):
        self._study, self._attempt, self._plan = of, attempt, plan
        self._known, self._deadline = known, deadline
        stored = attempt.user_attrs.get(study.VALIDATION, {})
        self._values = {int(step): _number(value) for step, value in stored.items()} | {**seen}
        if seen:
            attempt.set_user_attr(study.VALIDATION, study.plain(self._values))
        self._metric, self._largest_is_best = quantities.metric_of(plan.experiment)
        self.ended = False

    def __call__(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Takes note of an evaluation; True: the trial is left here."""
        value = float(metrics.get(self._metric, math.nan))
        self._values[step] = value
        self._attempt.set_user_attr(study.VALIDATION, study.plain(self._values))
        if len(self._plan.sweep.objectives) == 1 and math.isfinite(value):
            self._attempt.report(value, step)
        if self._is_behind(step):
            self.ended = True
        return self.ended or time.time() >= self._deadline

    def _is_behind(self, step: int) -> bool:
        sweep = self._plan.sweep
        if not isinstance(sweep.pruner, Asha):
            return False
        own = [value for at, value in sorted(self._values.items()) if at <= step]
        if not asha.is_rung(len(own), sweep.pruner):
            return False
        origin = self._attempt.user_attrs.get(study.ORIGIN, self._attempt.number)
        others = [
            [value for _, value in sorted(each.validation.items())]
            for each in study.read(self._study, sweep)
            if each.number != origin
            and each.state in ("running", "waiting", "complete", "pruned")
            and asha.competes(self._known, each.quantities, sweep.costs)
        ]
        return asha.ends(own, others, sweep.pruner, largest_is_best=self._largest_is_best)


def _said(
    over: Mapping[str, float], known: Mapping[str, float], sweep: plan.Sweep, currency: str
) -> str:
    """What breaks which limits, as a sentence."""
    most = {each.quantity: each.most for each in sweep.limits}
    return "; ".join(
        f"{name} is {known.get(name, math.nan):.4g} {quantities.unit(name, currency)}".rstrip()
        + f", above {most[name]:g}"
        for name in over
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def main(arguments: Sequence[str]) -> int:
    """Runs a worker to its end; returns the exit code."""
    folder, number, workers, *rest = arguments
    console.prepare_libraries()
    of = plan.read(folder, os.environ.get(STORAGE, ""))
    from podway.framework.devices import allocator

    allocator.reuse()
    try:
        with termination.ending():
            deadline = float(rest[0]) if rest else math.inf
            worker = Worker(of, int(number), deadline, int(workers))
            worker.search()
            worker.repeat()
    except (stages.Stopped, KeyboardInterrupt) as stop:
        print(stop, flush=True)
        return exit_codes.of(stop)
    except PodwayError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return error.exit_code
    return exit_codes.COMPLETE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
