"""A search space held against an experiment, and the experiment that a trial is."""

import dataclasses
import difflib
import math
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from podway.framework import codec
from podway.framework.code import kinds
from podway.framework.config import Experiment
from podway.framework.config.sweep import Choice, Dimension, Float, Int, Sweep, Value
from podway.framework.error import ConfigError, check
from podway.launch.sweep import compression

SHAPING = ("data", "model", "optimizer", "mixture", "trainer", "compression")
"""Fields of the experiment that what is trained depends on."""
_SEED = "trainer.seed"
_STEPS = "compression"


def placed(experiment: Experiment, values: Mapping[str, Value]) -> Experiment:
    """The experiment with other values, by the fields' paths. Raises ConfigError.

    Fields of one part are set at once, so that what holds between them is asked of all. Steps of
    compression are taken anew where one of their fields is set, as model and trainer follow them.
    """
    found = {tuple(path.split(".")): value for path, value in values.items()}
    steps = {path: value for path, value in found.items() if path[0] == _STEPS}
    if steps:
        experiment = compression.with_steps(experiment, lambda each: _placed(each, _below(steps)))
    return _placed(experiment, {path: v for path, v in found.items() if path not in steps})


def _below(values: Mapping[tuple[str, ...], Any]) -> dict[tuple[str, ...], Any]:
    return {path[1:]: value for path, value in values.items()}


def _placed(part: Any, values: Mapping[tuple[str, ...], Any]) -> Any:
    groups: dict[str, dict[tuple[str, ...], Any]] = {}
    for path, value in values.items():
        groups.setdefault(path[0], {})[path[1:]] = value
    changes = {
        name: inner[()] if () in inner else _placed(_child(part, name), inner)
        for name, inner in groups.items()
    }
    if isinstance(part, tuple):
        return tuple(changes.get(str(at), each) for at, each in enumerate(part))
    return dataclasses.replace(part, **changes)


def value_of(experiment: Experiment, field: str) -> Any:
    """What the experiment has at a field's path."""
    part: Any = experiment
    for name in field.split("."):
        part = _child(part, name)
    return part


def _child(part: Any, name: str) -> Any:
    return part[int(name)] if isinstance(part, tuple) else getattr(part, name)


def paths(part: Any, before: str = "") -> Iterator[str]:
    """The paths of all fields of a part that hold no further part."""
    if isinstance(part, tuple) and part and dataclasses.is_dataclass(part[0]):
        for at, each in enumerate(part):
            yield from paths(each, f"{before}{at}.")
    elif dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            yield from paths(getattr(part, field.name), f"{before}{field.name}.")
    else:
        yield before.removesuffix(".")


def checked(experiment: Experiment, sweep: Sweep) -> Sweep:
    """The sweep, with dimensions of the fields' own types. Raises ConfigError.

    Each end and each choice is tried, by itself, on the experiment. What is only wrong together is
    said of the trial that has it.
    """
    known = list(paths(experiment))
    space = tuple(_typed(experiment, each, known) for each in sweep.space)
    for dimension in space:
        for value in _ends(dimension):
            problem = kinds.problem(value, _hint(experiment, dimension.field))
            check(not problem, f"space: {dimension.field} is {problem}")
            try:
                placed(experiment, {dimension.field: value})
            except ConfigError as error:
                raise ConfigError(f"space: {dimension.field} = {value!r}: {error}") from error
    return dataclasses.replace(sweep, space=space)


def _ends(dimension: Dimension) -> tuple[Value, ...]:
    match dimension:
        case Choice(values=values):
            return values
        case Float(low=low, high=high) | Int(low=low, high=high):
            return (low, high)
    raise ConfigError(f"space: {dimension.field} is no Float, Int or Choice; give one of them")


def _typed(experiment: Experiment, dimension: Dimension, known: list[str]) -> Dimension:
    field = dimension.field
    if field not in known:
        below = [each for each in known if each.startswith(f"{field}.")]
        near = below[:1] or difflib.get_close_matches(field, known, n=1)
        near = near or [each for each in known if each.endswith(f".{field.rpartition('.')[2]}")][:1]
        stands = "stands for several fields" if below else "is no field of the experiment"
        hint = f"perhaps you meant {near[0]}" if near else "`podway show CONFIG` prints them"
        raise ConfigError(f"space: {field} {stands}; {hint}")
    first = field.partition(".")[0]
    check(
        first in SHAPING and not _is_neutral(experiment, field),
        f"space: {field} does not change what is trained, so all trials would be one; vary fields"
        f" of {', '.join(SHAPING)}",
    )
    check(
        field.split(".")[0::2][:2] != [_STEPS, "before"],
        f"space: {field} is what the experiment had before the step: vary it in a sweep over the"
        " uncompressed experiment",
    )
    check(
        field != _SEED,
        f"space: {_SEED} is no choice, as luck would win; winner.seeds trains candidates with"
        " several",
    )
    hint = _required(_hint(experiment, field))
    if isinstance(dimension, Int) and hint is float and dimension.step == 1:
        return Float(field, float(dimension.low), float(dimension.high), dimension.log)
    if isinstance(dimension, Choice) and hint is float:
        values = tuple(float(v) if type(v) is int else v for v in dimension.values)
        return dataclasses.replace(dimension, values=values)
    check(
        not isinstance(dimension, Float) or hint is not int,
        f"space: {field} takes whole numbers; give Int, with ends such as"
        f" {_whole(getattr(dimension, 'low', 1))}..{_whole(getattr(dimension, 'high', 2))}",
    )
    return dimension


def _whole(value: float) -> int:
    return math.floor(value)


def _steps(experiment: Experiment, field: str) -> Iterator[tuple[Any, str]]:
    """The parts on the way to a field, each with the name of the next."""
    part: Any = experiment
    for name in field.split("."):
        yield part, name
        part = _child(part, name)


def _is_neutral(experiment: Experiment, field: str) -> bool:
    return any(
        each.name == name and each.metadata.get(codec.NEUTRAL)
        for part, name in _steps(experiment, field)
        if dataclasses.is_dataclass(part)
        for each in dataclasses.fields(part)
    )


def _hint(experiment: Experiment, field: str) -> Any:
    """The field's type."""
    part, name = list(_steps(experiment, field))[-1]
    return typing.get_type_hints(type(part)).get(name)


def _required(hint: Any) -> Any:
    """Of an optional field's type what it is otherwise."""
    some = [each for each in typing.get_args(hint) if each is not type(None)]
    optional = type(None) in typing.get_args(hint) and len(some) == 1
    return some[0] if optional else hint
