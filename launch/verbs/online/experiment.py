"""`podway experiment report`: what came of an experiment on users."""

from __future__ import annotations

import dataclasses
import json

from podway.framework.error import ConfigError, check
from podway.launch.verbs.verb import Stage, Verb


@dataclasses.dataclass(frozen=True)
class Options(Stage):
    """An experiment, whose gateway has the trial, and the events."""

    trial: str = ""
    """Name of the trial; without it, the only one that the config has."""
    events: tuple[str, ...] = ()
    """Files or folders of events, Parquet or JSON lines; without them, what was landed."""
    outcome: tuple[str, ...] = ("click",)
    """Types of events that count as outcomes."""
    value: str = ""
    """Field of an outcome's event with its value; without it each counts 1."""
    any: bool = False
    """Count users with an outcome, in place of outcomes."""
    days: float = float("inf")
    """After a user's first exposure that outcomes count."""
    before_days: float = 14.0
    """Before the trial that what users did is held against what they did in it."""
    level: float = 0.95
    """Of the intervals."""
    json: bool = False
    """Print JSON, for programs."""


_MORE = """

Users are the unit: each one's outcomes since the first exposure, less what the same user did
before explains (CUPED). Exit status 1 where users are not divided by the arms' weights."""


def report(options: Options) -> None:
    """Prints the report."""
    from podway.online.error import OnlineError
    from podway.online.experiments.report import events, report, users

    trials = {each.name: each for each in options.experiment.online.gateway.trials}
    check(0.5 <= options.level < 1, f"--level is {options.level}; give a number from 0.5, below 1")
    for name in ("days", "before_days"):
        value = getattr(options, name)
        flag = f"--{name.replace('_', '-')}"
        check(value > 0, f"{flag} is {value}; give a number of days above 0")
    check(bool(options.outcome), "--outcome is empty; give types of events, as click play")
    listed = ", ".join(trials) or "none"
    if not options.trial and len(trials) != 1:
        raise ConfigError(f"--trial is missing; the config's online.gateway.trials are: {listed}")
    name = options.trial or next(iter(trials))
    if name not in trials:
        raise ConfigError(f"there is no trial {name!r} in online.gateway.trials: {listed}")
    places = options.events or (_landed(options),)
    seen = events.read(places, name, options.outcome, options.value)
    trial = trials[name]
    found = users.users(
        seen,
        [arm.name for arm in trial.arms],
        days=options.days,
        before_days=options.before_days,
        any_outcome=options.any,
    )
    what = " or ".join(options.outcome)
    what = f"{options.value} of {what}" if options.value else what
    what = f"share of users with {what}" if options.any else f"{what} a user"
    made = report.report(trial, found, seen, what, options.level)
    print(json.dumps(made.json(), indent=1) if options.json else report.text(made))
    if not made.is_valid:
        raise OnlineError(
            f"the users of {name} are not divided by the arms' weights (p = {made.mismatch:.1g});"
            " find out who loses them"
        )


def _landed(options: Options) -> str:
    """Where the lander's events lie."""
    lander = getattr(options.experiment.online, "lander", None)
    named = getattr(lander, "path", "")
    return named or f"{options.workdir}/online/{options.experiment.name}/landed"


VERB = Verb(
    "what came of an experiment on users: arms beside the control",
    Options,
    report,
    more=_MORE,
    example="podway experiment report mine.py --trial shelf --events landed --outcome click",
    without_model=True,
)
