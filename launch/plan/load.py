"""The load that a plan is for: the options that state it, and the figures that they are."""

import dataclasses
import difflib
import math
from collections.abc import Sequence

from podway.framework.config import Experiment, RowExamples
from podway.framework.error import check
from podway.launch.plan.figure import DAY, UNKNOWN, Basis, Figure
from podway.launch.prices.price import CAPACITIES

HISTORY = 100
"""Events of a stored history, where neither the user nor the model says so."""


@dataclasses.dataclass(frozen=True)
class Load:
    """What is asked for. Numbers may be written as 300e6."""

    users: float | None = None
    """Users with a history."""
    items: float | None = None
    """Items that can be recommended."""
    events_per_second: float | None = None
    """Events, on average; or --events-per-day."""
    events_per_day: float | None = None
    """Events of a day."""
    requests_per_second: float | None = None
    """Requests at the peak."""
    requests_mean: float | None = None
    """Requests a second on average; without, half of the peak."""
    freshness: float = 48.0
    """Hours that the latest event known to the model may be old."""
    retrain_every: float = 24.0
    """Hours between two trainings."""
    training_days: float = 90.0
    """Days of events that a model is trained on."""
    log_days: float = 365.0
    """Days that events are kept."""
    history_length: float | None = None
    """Events of a user's stored history; without, as many as the model reads."""
    epochs: float = 1.0
    """Times that training sees each example."""
    zones: int = 3
    """Zones, of which one may be lost."""
    region: str = "us-central1"
    """Where all of it is."""
    capacity: str = "on-demand"
    """How chips are bought: on-demand, spot, reserved-1y, reserved-3y, flex-start, reserved."""
    machine_capacity: str = "on-demand"
    """How other machines are bought, likewise; workers that run at times are never reserved."""

    def __post_init__(self):
        for name in ("users", "items", "epochs", "freshness", "retrain_every", "training_days"):
            value = getattr(self, name)
            check(
                value is None or (value > 0 and math.isfinite(value)),
                f"{_flag(name)} is {value:g}; give more than 0" if value is not None else "",
            )
        for name in (
            *("events_per_second", "events_per_day", "requests_per_second", "requests_mean"),
            *("log_days", "history_length"),
        ):
            value = getattr(self, name)
            check(
                value is None or (value >= 0 and math.isfinite(value)),
                f"{_flag(name)} is {value:g}; give 0 or more" if value is not None else "",
            )
        check(self.zones >= 1, f"--zones is {self.zones}; give 1 or more")
        for name in ("capacity", "machine_capacity"):
            value = getattr(self, name)
            check(
                value in CAPACITIES,
                f"{_flag(name)} is {value!r}; give one of {', '.join(CAPACITIES)}",
            )
        check(
            self.events_per_second is None or self.events_per_day is None,
            "--events-per-second and --events-per-day exclude each other; give one",
        )
        peak, mean = self.requests_per_second, self.requests_mean
        check(
            peak is None or mean is None or mean <= peak,
            f"--requests-mean {mean} is above --requests-per-second {peak}, the peak",
        )


def stated(load: Load, experiment: Experiment) -> tuple[Figure, ...]:
    """The figures that the options and the config give. Raises ConfigError where one is missing."""
    for name, meaning in (
        ("users", "the number of users"),
        ("items", "the number of items"),
        ("requests_per_second", "the requests a second at the peak"),
    ):
        check(getattr(load, name) is not None, f"{_flag(name)} is missing: give {meaning}")
    missing = load.events_per_second is None and load.events_per_day is None
    check(not missing, "--events-per-second is missing: give it, or --events-per-day")
    peak, events = load.requests_per_second, load.events_per_second
    assert peak is not None
    if events is None:
        assert load.events_per_day is not None
        events = load.events_per_day / DAY
    history, basis, source = _history(load, experiment)
    sequences = not isinstance(experiment.data.examples, RowExamples)
    mean = load.requests_mean
    return (
        _given("users", load.users, "users", "--users", "users with a history"),
        _given("items", load.items, "items", "--items", "items that can be recommended"),
        _given("events_per_second", events, "1/s", "--events-per-…", "events, on average"),
        _given("requests_per_second", peak, "1/s", "--requests-per-second", "at the peak"),
        Figure(
            "requests_mean",
            peak / 2 if mean is None else mean,
            "1/s",
            "rule" if mean is None else "given",
            "half of the peak" if mean is None else "--requests-mean",
            "requests on average",
            high=peak,
        ),
        _given("freshness_hours", load.freshness, "h", "--freshness", "age of what is known"),
        _given("retrain_every_hours", load.retrain_every, "h", "--retrain-every", "between runs"),
        _given("training_days", load.training_days, "days", "--training-days", "trained on"),
        _given("log_days", load.log_days, "days", "--log-days", "kept"),
        Figure("history_length", history, "events", basis, source, "of a user's stored history"),
        _given("epochs", load.epochs, "", "--epochs", "times that each example is seen"),
        Figure(
            "zones", load.zones, "zones", "given", "--zones", "one may be lost", 1.0, varied=False
        ),
        Figure(
            "batch_size",
            experiment.trainer.batch_size,
            "examples",
            "config",
            "trainer.batch_size",
            "examples of a step",
            low=1.0,
            varied=False,
        ),
        Figure(
            "sequences",
            float(sequences),
            "",
            "config",
            "data.examples",
            "1: an example is a user; 0: an event",
            high=1.0,
            varied=False,
        ),
    )


def assumed(figures: Sequence[Figure], assumptions: Sequence[str]) -> tuple[Figure, ...]:
    """The figures, some of them as `--assume NAME=VALUE` says. Raises ConfigError."""
    found = {figure.name: figure for figure in figures}
    for text in assumptions:
        name, equals, said = text.partition("=")
        check(bool(equals), f"--assume {text}: give NAME=VALUE, as in utilisation=0.5")
        if name not in found:
            close = difflib.get_close_matches(name, found, n=1)
            more = f"perhaps you meant {close[0]}" if close else "--json lists them all"
            check(False, f"--assume {text}: there is no figure {name!r}; {more}")
        try:
            value = float(said)
        except ValueError:
            value = UNKNOWN
        check(math.isfinite(value), f"--assume {text}: {said!r} is no number; give {name}=1.5, say")
        figure = found[name]
        check(
            figure.low <= value <= figure.high,
            f"--assume {text}: {name} is {figure.low:g} to {figure.high:g}",
        )
        found[name] = dataclasses.replace(figure, value=value, basis="given", source="--assume")
    return tuple(found.values())


def _history(load: Load, experiment: Experiment) -> tuple[float, Basis, str]:
    if load.history_length is not None:
        return load.history_length, "given", "--history-length"
    length = getattr(experiment.model, "max_length", None)
    if length is not None:
        return float(length), "config", "model.max_length"
    return HISTORY, "rule", "the model does not say what it reads"


def _given(name: str, value: float | None, unit: str, flag: str, meaning: str) -> Figure:
    assert value is not None
    return Figure(name, float(value), unit, "given", flag, meaning)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
