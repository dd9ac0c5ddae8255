"""The sweep that a command was given: in a file, beside the experiment, or by words."""

import ast
import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from podway.framework import codec
from podway.framework.code import classes, writing
from podway.framework.config.sweep import Choice, Dimension, Float, Int, Limit, Sweep, Value
from podway.framework.error import ConfigError, check

_FUNCTION = "sweep"
HOW = (
    "give FIELD=LOW..HIGH, FIELD=LOW..HIGH:log or FIELD=A,B,C for each field, or a file: FILE.py"
    " with a function `sweep()`, or FILE.json"
)


def sweep(space: Sequence[str], config: str) -> Sweep:
    """The sweep that `--space` says, or, without it, the one beside the experiment.

    Args:
      space: dimensions in words, or a file alone.
      config: what the command acts on; of FILE.py, a function `sweep()` may stand in it.

    Raises ConfigError.
    """
    if not space:
        found = _of_file(pathlib.Path(config)) if config.endswith(".py") else None
        check(found is not None, f"--space is missing: {HOW}")
        assert found is not None
        return found
    if len(space) == 1 and space[0].endswith((".py", ".json")) and "=" not in space[0]:
        path = pathlib.Path(space[0])
        check(path.is_file(), f"--space: there is no file {path}; {HOW}")
        found = _of_json(path) if path.suffix == ".json" else _of_file(path)
        check(found is not None, f"{path} has no function `sweep()` that returns a Sweep")
        assert found is not None
        return found
    return Sweep(tuple(dimension(each) for each in space))


def dimension(text: str) -> Dimension:
    """A dimension in words, "model.width=16..64" or "trainer.ema=None,.99". Raises ConfigError."""
    field, equals, said = text.partition("=")
    field = field.strip().removeprefix("--").replace("-", "_")
    check(bool(equals and said and field), f"--space {text}: {HOW}")
    if ".." in said:
        ends, _, kind = said.partition(":")
        low, high = (_value(each) for each in ends.split("..", 1))
        numbers = all(type(each) in (int, float) for each in (low, high))
        check(numbers and kind in ("", "log"), f"--space {text}: {HOW}")
        made = Int if isinstance(low, int) and isinstance(high, int) else Float
        return made(field, low, high, kind == "log")  # type: ignore[arg-type]
    return Choice(field, tuple(_value(each) for each in said.split(",")))


def limit(text: str) -> Limit:
    """A limit in words: "latency=20". Raises ConfigError."""
    quantity, _, said = text.partition("=")
    most = _value(said)
    check(
        type(most) in (int, float),
        f"--limits {text}: give QUANTITY=NUMBER, such as latency=20 (ms), size=100 (MB),"
        " cost=0.5 (of a million answers) or parameters=1e6",
    )
    try:
        return codec.from_json(Limit, {"quantity": quantity, "most": most})
    except ConfigError as error:
        raise ConfigError(f"--limits {text}: {error}") from error


def changed(found: Sweep, **changes: Any) -> Sweep:
    """The sweep with what options say; None leaves what it says. Raises ConfigError."""
    return dataclasses.replace(found, **{k: v for k, v in changes.items() if v is not None})


def _value(text: str) -> Value:
    """A number, True, False, None, or a word."""
    text = text.strip()
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return found if found is None or isinstance(found, bool | int | float | str) else text


def _of_json(path: pathlib.Path) -> Sweep:
    try:
        stored = json.loads(path.read_text())
        return codec.from_json(Sweep, stored)
    except (UnicodeDecodeError, json.JSONDecodeError, ConfigError) as error:
        raise ConfigError(f"{path}: it is not the JSON of a Sweep: {error}") from error


def _of_file(path: pathlib.Path) -> Sweep | None:
    """What `sweep()` of a Python file returns; None: it has no such function."""
    module = classes.load(path.resolve())
    function: Callable[[], Any] | None = getattr(module, _FUNCTION, None)
    if not callable(function):
        return None
    with writing.explained(path.resolve()):
        found = function()
    check(
        isinstance(found, Sweep),
        f"{path}: sweep() returns a {type(found).__name__}; return a Sweep",
    )
    return found
