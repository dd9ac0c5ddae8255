"""Who is in which arm: a pure function of the user and the trials, so that all processes agree.

A user has one place between 0 and 1 in each layer, and another in each trial. The trials of a layer
have its places one after the other, so that no user is in two of them; within a trial the arms
share the places by their weights. Adding a trial behind the others of its layer moves nobody.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from podway.framework.config.online import Arm, Rules, Trial
from podway.online.rollout import split


@dataclasses.dataclass(frozen=True)
class Assigned:
    """A user's arms.

    Attributes:
      arms: trial → name of the arm; trials that the user is not part of are left out.
      arm: what these arms change, taken together; None: nothing.
    """

    arms: Mapping[str, str]
    arm: Arm | None


_NONE = Assigned({}, None)


def assigned(trials: Sequence[Trial], user: str) -> Assigned:
    """The arms of a user; one without a name is part of no trial."""
    if not trials or not user:
        return _NONE
    found: dict[str, Arm] = {}
    for trial, start in _starts(tuple(trials)):
        at = split.place(user, f"layer {trial.layer or trial.name}")
        if start <= at < start + trial.share:
            found[trial.name] = _arm(trial, split.place(user, f"trial {trial.name}"))
    if not found:
        return _NONE
    names = {trial: arm.name for trial, arm in found.items()}
    return Assigned(names, _together(tuple(found.values())))


@functools.cache
def _starts(trials: tuple[Trial, ...]) -> tuple[tuple[Trial, float], ...]:
    """Where in its layer each trial begins."""
    ends: dict[str, float] = {}
    found = []
    for trial in trials:
        start = ends.get(trial.layer, 0.0) if trial.layer else 0.0
        ends[trial.layer] = start + trial.share
        found.append((trial, start))
    return tuple(found)


def _arm(trial: Trial, place: float) -> Arm:
    total, end = sum(arm.weight for arm in trial.arms), 0.0
    for arm in trial.arms[:-1]:
        end += arm.weight / total
        if place < end:
            return arm
    return trial.arms[-1]


@functools.cache
def _together(arms: tuple[Arm, ...]) -> Arm | None:
    """The config lets one trial at most change each of these for a user."""
    model, label, rules = "", "", None
    for arm in arms:
        model, label, rules = model or arm.model, label or arm.label, rules or arm.rules
    if not model and not label and rules is None:
        return None
    return Arm("together", model=model, label=label, rules=rules)


def rules_of(found: Assigned, given: Rules) -> Rules:
    """The rules of a user."""
    return found.arm.rules if found.arm is not None and found.arm.rules is not None else given
