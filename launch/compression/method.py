"""Steps of compression as they are typed: `int8`, `low_rank:rank=16`, `tune:steps=500`."""

import dataclasses
import difflib
import importlib
import json
import pkgutil
import re
import typing
from collections.abc import Sequence
from typing import Any

from podway.framework import codec
from podway.framework.code import classes
from podway.framework.config import Compression, Experiment, compressed
from podway.framework.error import ConfigError, check
from podway.launch import fields


def applied(experiment: Experiment, texts: Sequence[str]) -> Experiment:
    """The experiment after these steps, one after the other. Raises ConfigError."""
    return compressed(experiment, *map(parse, texts)) if texts else experiment


def parse(text: str) -> Compression:
    """A step: its name, and after a colon FIELD=VALUE, several divided by commas.

    Raises ConfigError, with what there is, for a name, a field or a value that is none.
    """
    name, _, rest = text.partition(":")
    known = methods()
    cls = known.get(_named(name))
    if cls is None:
        near = difflib.get_close_matches(_named(name), known, n=1)
        hint = f"perhaps you meant {near[0]!r}; " if near else ""
        raise ConfigError(f"--method {name}: {hint}there are {', '.join(known)}")
    values: dict[str, Any] = {}
    options = options_of(cls)
    for pair in _divided(rest):
        field, equals, value = pair.partition("=")
        field = _named(field)
        check(
            bool(equals) and field in options,
            f"--method {text}: {pair!r} is no FIELD=VALUE of {name}; its fields are"
            f" {', '.join(options) or 'none'}",
        )
        values[field] = _value(value, typing.get_type_hints(cls)[field])
    try:
        return codec.from_json(cls, values)
    except ConfigError as error:
        raise ConfigError(f"--method {text}: {error}") from error


def methods() -> dict[str, type[Compression]]:
    """The steps that there are, by name."""
    from podway.framework import compression

    for each in pkgutil.iter_modules(compression.__path__, f"{compression.__name__}."):
        importlib.import_module(each.name)
    found = {_named(cls.__name__): cls for cls in classes.subclasses(Compression)}
    del found[_named(Compression.__name__)]
    ours = {name: cls for name, cls in found.items() if classes.is_ours(cls)}
    return dict(sorted(ours.items()))


def options_of(cls: type[Compression]) -> dict[str, str]:
    """The fields of a step that can be typed, with what they mean."""
    told = fields.texts(cls)
    return {
        field.name: told.get(field.name, "")
        for field in dataclasses.fields(cls)
        if field.name not in ("before",)
    }


def listing() -> str:
    """The steps and their fields as text."""
    lines = []
    for name, cls in methods().items():
        first = (cls.__doc__ or "").strip().partition("\n")[0]
        lines.append(f"{name:16} {first}")
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        lines += [
            f"  {field}={defaults[field]!r}: {text}" for field, text in options_of(cls).items()
        ]
    return "\n".join(lines)


def described(step: Compression) -> str:
    """A step as it is typed, with what is not its default."""
    changed = [
        f"{field.name}={getattr(step, field.name)!r}"
        for field in dataclasses.fields(step)
        if field.name != "before" and getattr(step, field.name) != field.default
    ]
    return ":".join(filter(None, [_named(type(step).__name__), ",".join(changed)]))


def _named(text: str) -> str:
    """LowRank, low-rank → low_rank."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text.strip()).replace("-", "_").lower()


def _divided(text: str) -> list[str]:
    """The parts between commas that no bracket holds."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _value(text: str, hint: Any) -> Any:
    """A value as JSON; of a tuple one may give a single one, or several in brackets."""
    try:
        value = json.loads(text.replace("(", "[").replace(")", "]"))
    except ValueError:
        value = {"None": None, "True": True, "False": False}.get(text, text)
    several = typing.get_origin(hint) is tuple
    return [value] if several and not isinstance(value, list) else value
