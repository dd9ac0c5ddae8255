"""The trials of a sweep in Optuna's database: who takes up which, and what came of each.

Several workers share it. What is decided of a trial follows from what is stored: a worker that is
killed at any instant leaves nothing that the others cannot finish. An attempt at a trial whose
worker is gone fails, and is entered once more, with the same values; should two workers do so at
once, the later entry counts for nothing. Optuna numbers attempts; a trial goes by the number of its
first one.
"""

import contextlib
import json
import math
import pathlib
import sqlite3
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna import distributions
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, OptunaError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from podway.framework import codec
from podway.framework.config.sweep import Choice, Dimension, Float, Int, Sweep, Value
from podway.framework.error import PodwayError
from podway.framework.runs.lock import Holder
from podway.launch.cost.bill import Seconds, together
from podway.launch.sweep import quantities, space
from podway.launch.sweep.plan import Plan
from podway.launch.sweep.trial import State, Trial

HEARTBEAT, GRACE = 10, 60
"""Seconds between two signs of life, and without one after which a worker of another machine counts
as gone. Of this machine one is asked for its process."""
ATTEMPTS = 3
"""Attempts at a trial whose worker crashes or is killed, after which it has failed."""
_BUSY = 60
"""Seconds that SQLite waits for another process that writes."""
_TRIES, _PAUSE = 6, 0.5
"""Of opening it."""
_DIGITS = 4
"""Of a number that is drawn: one that people can read, and type."""
_STARTUP = 10
"""Trials that are drawn at random at first, at most; a third of all."""

ORIGIN, WORKER, STOPPED, SURPLUS = "origin", "worker", "stopped", "surplus"
REFUSED, FAILED, PROBLEM = "refused", "failed", "problem"
QUANTITIES, VALIDATION, QUALITY, RUN = "quantities", "validation", "quality", "run"
SECONDS = "seconds"
"""What we write beside a trial."""
_REPEATED = "repeated "
"""How a study's attributes begin that say how long candidates' other seeds were in training."""
_FIXED = "fixed_params"
"""Where Optuna keeps the values of a trial that somebody asked for."""


def open_study(plan: Plan) -> optuna.Study:
    """The sweep's trials; the first who comes makes the study, and enters the experiment itself."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", ExperimentalWarning)
    engine: dict[str, Any] = {"pool_pre_ping": True}
    if plan.address.startswith("sqlite:"):
        engine = {"connect_args": {"timeout": _BUSY}}
        _prepare(pathlib.Path(plan.address.removeprefix("sqlite:///")))
    storage = _open(plan.address, engine)
    _, largest_is_best = quantities.metric_of(plan.experiment)
    up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    directions = [
        up if each == "quality" and largest_is_best else down for each in plan.sweep.objectives
    ]
    try:
        study = optuna.create_study(storage=storage, study_name=plan.study, directions=directions)
    except DuplicatedStudyError:
        return optuna.load_study(storage=storage, study_name=plan.study)
    if own := _own(plan):
        study.enqueue_trial(own)
    return study


def _open(address: str, engine: dict[str, Any]) -> optuna.storages.RDBStorage:
    """The database, with its tables. Two who make these at once are in each other's way, and try
    again. Raises StorageError."""
    for left in reversed(range(_TRIES)):
        try:
            return optuna.storages.RDBStorage(
                address, engine, heartbeat_interval=HEARTBEAT, grace_period=GRACE
            )
        except (SQLAlchemyError, OptunaError) as error:
            if not left:
                said = str(getattr(error, "orig", None) or error).splitlines()[0]
                raise StorageError(
                    f"--storage: the database of the trials cannot be opened: {said}; give one that"
                    " is there, with the right to make tables in it"
                ) from error
            time.sleep(_PAUSE)
    raise AssertionError


class StorageError(PodwayError, RuntimeError):
    """The trials' database cannot be used; the message says why."""


def _prepare(path: pathlib.Path) -> None:
    """Lets others read while one writes; the file remembers it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path, timeout=_BUSY)) as database:
        database.execute("PRAGMA journal_mode=WAL")


def _own(plan: Plan) -> dict[str, Any]:
    """The values that the experiment itself has, if all of them are in the space; else {}."""
    found = {}
    for each in plan.sweep.space:
        value = space.value_of(plan.experiment, each.field)
        match each:
            case Float(low=low, high=high) | Int(low=low, high=high):
                fits = isinstance(value, int | float) and low <= value <= high
                fits = fits and (not isinstance(each, Int) or (value - low) % each.step == 0)
            case Choice(values=values):
                fits = value in values
            case _:
                fits = False
        if not fits:
            return {}
        found[each.field] = _encoded(value) if isinstance(each, Choice) else value
    return found


def _encoded(value: Value) -> str:
    """A choice as text: Optuna compares values, and for it 1, 1.0 and True are one."""
    return json.dumps(codec.to_json(value))


def suggested(trial: optuna.Trial, sweep: Sweep) -> dict[str, Value]:
    """The values of a trial, by path: drawn, or those of an earlier attempt."""
    return {each.field: _suggested(trial, each) for each in sweep.space}


def _suggested(trial: optuna.Trial, each: Dimension) -> Value:
    match each:
        case Float():
            drawn = trial.suggest_float(each.field, each.low, each.high, log=each.log)
            return _decoded(drawn, each)
        case Int():
            return trial.suggest_int(each.field, each.low, each.high, step=each.step, log=each.log)
        case Choice():
            said = trial.suggest_categorical(each.field, [_encoded(v) for v in each.values])
            return _decoded(said, each)
    raise TypeError(each)


def _decoded(said: Any, dimension: Dimension) -> Value:
    """A value as it is stored → as a field has it: a number of few digits, a choice."""
    if isinstance(dimension, Float):
        shown = float(f"{said:.{_DIGITS}g}")
        return min(max(shown, dimension.low), dimension.high)
    if not isinstance(dimension, Choice):
        return said
    return next(value for value in dimension.values if _encoded(value) == said)


def distribution(each: Dimension) -> distributions.BaseDistribution:
    """A dimension as Optuna has it."""
    match each:
        case Float():
            return distributions.FloatDistribution(each.low, each.high, log=each.log)
        case Int():
            return distributions.IntDistribution(each.low, each.high, each.log, each.step)
        case Choice():
            return distributions.CategoricalDistribution([_encoded(v) for v in each.values])
    raise TypeError(each)


def sampler(plan: Plan, worker: int, entered: int) -> optuna.samplers.BaseSampler:
    """Draws the next trial: tree-structured Parzen estimators (Bergstra et al. 2011).

    Another seed for each trial and worker, so that one that goes on does not draw the same again.
    """
    return optuna.samplers.TPESampler(
        seed=int(codec.content_hash([plan.sweep.seed, worker, entered])[:8], 16),
        n_startup_trials=max(1, min(_STARTUP, plan.sweep.trials // 3)),
        multivariate=True,
    )


# ---------------------------------------------------------------------------------- what is stored


def mend(study: optuna.Study) -> None:
    """Attempts whose worker is gone fail; a trial that has no other attempt is entered anew."""
    optuna.storages.fail_stale_trials(study)
    for each in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        holder = Holder.read(each.user_attrs.get(WORKER, ""))
        if holder is not None and holder.is_gone:
            give_up(study, each.number)
    for attempts in groups(study).values():
        if _is_lost(attempts) and _failures(attempts) < ATTEMPTS:
            _enter_again(study, attempts[-1])


def give_up(study: optuna.Study, number: int) -> None:
    """An attempt fails, unless it has ended meanwhile."""
    with contextlib.suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):
        study.tell(number, state=TrialState.FAIL)


def _enter_again(study: optuna.Study, attempt: FrozenTrial) -> None:
    kept = (VALIDATION, QUANTITIES)
    attributes = {name: attempt.user_attrs[name] for name in kept if name in attempt.user_attrs}
    fixed = {_FIXED: attempt.system_attrs[_FIXED]} if _FIXED in attempt.system_attrs else {}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=attempt.params,
            distributions=attempt.distributions,
            user_attrs={**attributes, ORIGIN: _origin(attempt)},
            system_attrs=fixed,
        )
    )


def groups(study: optuna.Study) -> dict[int, list[FrozenTrial]]:
    """The attempts at each trial, in order, by its number; without those that count for nothing."""
    found: dict[int, list[FrozenTrial]] = {}
    for each in sorted(study.get_trials(deepcopy=False), key=lambda each: each.number):
        if SURPLUS not in each.user_attrs:
            found.setdefault(_origin(each), []).append(each)
    return found


def is_surplus(study: optuna.Study, number: int, most: int) -> bool:
    """Whether an attempt that has just been taken up counts for nothing.

    So it is where another one of the same trial came before it, and where there are as many trials
    before it as there shall be.
    """
    before = 0
    for origin, attempts in groups(study).items():
        for each in attempts:
            if each.number == number:
                doubled = _live(attempts).number != number
                return doubled or (origin == number and before >= most)
        before += _state(attempts) != "refused"
    return False


def _origin(attempt: FrozenTrial) -> int:
    return attempt.user_attrs.get(ORIGIN, attempt.number)


def _live(attempts: Sequence[FrozenTrial]) -> FrozenTrial:
    """The attempt that counts: the first that has not failed, or else the last."""
    return next((each for each in attempts if each.state != TrialState.FAIL), attempts[-1])


def _is_lost(attempts: Sequence[FrozenTrial]) -> bool:
    return _live(attempts).state == TrialState.FAIL


def _failures(attempts: Sequence[FrozenTrial]) -> int:
    """Attempts that nobody has asked to end."""
    return sum(
        each.state == TrialState.FAIL and STOPPED not in each.user_attrs for each in attempts
    )


def _state(attempts: Sequence[FrozenTrial]) -> State:
    live = _live(attempts)
    match live.state:
        case TrialState.FAIL:
            return "failed" if _failures(attempts) >= ATTEMPTS else "waiting"
        case TrialState.COMPLETE:
            return "complete"
        case TrialState.PRUNED if REFUSED in live.user_attrs:
            return "refused"
        case TrialState.PRUNED if FAILED in live.user_attrs:
            return "failed"
        case TrialState.PRUNED:
            return "pruned"
        case TrialState.RUNNING:
            return "running"
    return "waiting"


def read(study: optuna.Study, sweep: Sweep) -> list[Trial]:
    """The trials in the order of their numbers."""
    return [_read(origin, attempts, sweep) for origin, attempts in sorted(groups(study).items())]


def _read(origin: int, attempts: Sequence[FrozenTrial], sweep: Sweep) -> Trial:
    live, state = _live(attempts), _state(attempts)
    facts: Mapping[str, Any] = live.user_attrs
    drawn = {**live.system_attrs.get(_FIXED, {}), **live.params}
    validation = {int(step): _number(v) for step, v in facts.get(VALIDATION, {}).items()}
    last = validation[max(validation)] if validation else math.nan
    reason = facts.get(REFUSED) or facts.get(FAILED) or facts.get(PROBLEM) or ""
    if state == "failed" and not reason:
        reason = f"its worker ended {_failures(attempts)} times in the middle of it"
    return Trial(
        number=origin,
        state=state,
        values={d.field: _decoded(drawn[d.field], d) for d in sweep.space if d.field in drawn},
        quality=_number(facts.get(QUALITY)) if state == "complete" else last,
        quantities={name: _number(value) for name, value in facts.get(QUANTITIES, {}).items()},
        validation=validation,
        reason=reason if state in ("refused", "failed") else "",
        run=facts.get(RUN, ""),
        attempts=len(attempts),
        began=attempts[0].datetime_start.timestamp() if attempts[0].datetime_start else None,
        ended=live.datetime_complete.timestamp() if live.datetime_complete else None,
        seconds=together(each.user_attrs.get(SECONDS, {}) for each in attempts),
    )


def note_repeated(study: optuna.Study, name: str, seconds: Seconds) -> None:
    """Writes down how long a training of a candidate with another seed has held devices.

    Args:
      study: the trials.
      name: tells it from all other such trainings.
      seconds: by device.
    """
    study.set_user_attr(_REPEATED + name, dict(seconds))


def repeated(study: optuna.Study) -> Seconds:
    """Seconds of devices that the candidates' other seeds took, by device."""
    noted = study.user_attrs.items()
    return together(seconds for name, seconds in noted if name.startswith(_REPEATED))


def _number(value: Any) -> float:
    """null stands for what is not finite."""
    return math.nan if value is None else float(value)


def plain(values: Mapping[Any, float]) -> dict[str, float | None]:
    """Numbers as JSON has them."""
    return {str(k): float(v) if math.isfinite(v) else None for k, v in values.items()}


def importance(study: optuna.Study, plan: Plan) -> Iterator[tuple[str, float]]:
    """How much of the quality's spread hangs on each field (PED-ANOVA, Watanabe et al. 2023).

    Of finished trials alone; nothing where these are too few, or all alike. It asks what sets the
    best trials apart, and of a target of one's own it takes the smallest for the best.
    """
    at = plan.sweep.objectives.index("quality")
    several = len(plan.sweep.objectives) > 1
    _, largest_is_best = quantities.metric_of(plan.experiment)
    sign = -1.0 if largest_is_best else 1.0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the smallest is taken for the best
            found = optuna.importance.get_param_importances(
                study,
                evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                target=(lambda trial: sign * trial.values[at]) if several else None,
            )
    except (ValueError, RuntimeError, ZeroDivisionError):
        return
    yield from ((name, share) for name, share in found.items() if math.isfinite(share))
