"""Experiments on users: arms, who gets which, and what an arm changes."""

import dataclasses

from podway.framework.config.online.rules import Rules
from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to treat users. An arm that changes nothing is the control."""

    name: str
    """Its name, as events and the report have it."""
    weight: float = 1.0
    """Its part of the users, beside the other arms' weights."""
    model: str = ""
    """Name of the model that answers; "": the gateway's."""
    label: str = ""
    """Label of the version that answers, whatever a rollout says; "": as the rollout says."""
    rules: Rules | None = None
    """Rules in place of the gateway's."""

    def __post_init__(self):
        check(bool(self.name), "trials.arms has an arm without a name; give it one")
        check(
            0 < self.weight < float("inf"),
            f"the weight of the arm {self.name} is {self.weight}; give a number above 0",
        )


@dataclasses.dataclass(frozen=True)
class Trial:
    """An experiment: users are divided among its arms by a hash, and stay where they are."""

    name: str
    """Its name, never used twice: it is part of the hash, and what the report asks for."""
    arms: tuple[Arm, ...]
    """The first is the control, which the report holds the others against."""
    share: float = 1.0
    """Share of the users who take part, of its layer's users."""
    layer: str = ""
    """Trials of one layer have no user in common; "": a layer of its own, which overlaps with all
    others."""

    def __post_init__(self):
        check(bool(self.name), "trials has a trial without a name; give it one")
        names = [arm.name for arm in self.arms]
        check(
            len(names) >= 2 and len(set(names)) == len(names),
            f"the arms of the trial {self.name} are {', '.join(names) or 'none'}; give two or more,"
            " each with a name of its own",
        )
        check(
            0 < self.share <= 1,
            f"share of the trial {self.name} is {self.share}; give a share above 0, at most 1",
        )


def check_together(trials: tuple[Trial, ...]) -> None:
    """Raises ConfigError: names that are used twice, layers that are too full, or two trials that
    would change the same for one user."""
    names = [trial.name for trial in trials]
    for name in names:
        check(
            names.count(name) == 1,
            f"gateway.trials has {name} {names.count(name)} times; give each a name of its own",
        )
    for layer in {trial.layer for trial in trials} - {""}:
        shares = sum(trial.share for trial in trials if trial.layer == layer)
        check(
            shares <= 1 + 1e-9,
            f"the trials of the layer {layer} ask for {shares:g} of the users; let their shares sum"
            " to at most 1",
        )
    for field in ("model", "label", "rules"):
        layers = [trial.layer or trial.name for trial in trials if _changes(trial, field)]
        check(
            len(set(layers)) <= 1,
            f"trials of the layers {', '.join(sorted(set(layers)))} change {field} for the same"
            " users; put them into one layer",
        )


def _changes(trial: Trial, field: str) -> bool:
    return any(getattr(arm, field) for arm in trial.arms)
