"""Frozen dataclasses ↔ plain JSON values, and the hash of such values. Pure Python."""

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar

from podway.framework.code import classes
from podway.framework.error import ConfigError, check

T = TypeVar("T")
NEUTRAL = "neutral"
"""Metadata key of a field that does not change the result."""
LATER = "later"
"""Metadata key of a field that came later, and at its default changes nothing."""


def to_json(value: Any, *, versioned: bool = False) -> Any:
    """A config part as plain JSON values. A swappable part carries its class as `type`.

    `versioned` leaves out the fields that do not change the result, those that came later and have
    their default, and where files lie: the content of the version. Raises ConfigError: a class that
    no other process would find.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = typing.get_type_hints(type(value))
        out = {}
        for field in dataclasses.fields(value):
            part = getattr(value, field.name)
            if versioned and field.metadata.get(NEUTRAL):
                continue
            if versioned and field.metadata.get(LATER) and part == field.default:
                continue
            out[field.name] = _part(part, hints[field.name], versioned)
        return out
    if isinstance(value, tuple | list):
        return [to_json(item, versioned=versioned) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"a config cannot hold a {type(value).__name__}: {value!r}")


def _part(part: Any, hint: Any, versioned: bool) -> Any:
    """A field's value; where the hint alone does not tell its class, with the class as `type`."""
    arguments = typing.get_args(hint)
    if isinstance(part, tuple) and arguments:
        return [_part(item, arguments[0], versioned) for item in part]
    encoded = to_json(part, versioned=versioned)
    if dataclasses.is_dataclass(part) and type(part) is not hint and type(part) not in arguments:
        name = classes.describe(type(part))
        check(
            encoded.keys().isdisjoint(name),
            f"a field of {type(part).__name__} is called {classes.TYPE!r}, which stands for the"
            " class where it is stored: rename the field",
        )
        if versioned:
            name.pop(classes.FROM, None)
        return name | encoded
    return encoded


def from_json(cls: type[T], value: Any, where: str = "") -> T:
    """The inverse of `to_json`. Raises ConfigError that names the field that does not fit."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where or cls.__name__}: expected an object, found {value!r}")
    fields = dict(value)
    if name := fields.pop(classes.TYPE, None):
        cls = classes.find(cls, name, fields.pop(classes.FROM, None), where or cls.__name__)
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(fields) - {field.name for field in dataclasses.fields(cls)})  # type: ignore[arg-type]
    check(not unknown, f"{where or cls.__name__}: unknown fields {unknown}")
    arguments = {
        name: _decode(hints[name], part, f"{where}.{name}".lstrip("."))
        for name, part in fields.items()
    }
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ConfigError(f"{where or cls.__name__}: {error}") from error


def _decode(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        check(isinstance(value, list), f"{where}: expected a list, found {value!r}")
        return tuple(_decode(arguments[0], item, where) for item in value)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _decode_one_of([a for a in arguments if a is not types.NoneType], value, where)
    if origin is Literal:
        check(value in arguments, f"{where}: {value!r} is none of {list(arguments)}")
        return value
    accepted = (int, float) if hint is float else hint
    fits = isinstance(value, accepted) and (hint is bool or not isinstance(value, bool))
    check(fits, f"{where}: expected {hint.__name__}, found {value!r}")
    return hint(value)


def _decode_one_of(hints: list[Any], value: Any, where: str) -> Any:
    """By the first of several types that fits."""
    for hint in hints[:-1]:
        try:
            return _decode(hint, value, where)
        except ConfigError:
            continue
    return _decode(hints[-1], value, where)


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON of plain values. Numbers that are not finite, which JSON lacks, are null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def content_hash(value: Any) -> str:
    """16 hex digits of SHA-256 over canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def difference(ours: Any, theirs: Any, where: str = "") -> str | None:
    """The first place where two JSON values differ, as a sentence; None where they are equal."""
    for path, here, there in differences(ours, theirs, where):
        return f"{path} is {here!r} here and {there!r} there"
    return None


def differences(ours: Any, theirs: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two JSON values differ: the field's path, the one value, and the other.

    The same class in another folder is no difference.
    """
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs} - {classes.FROM}):
            yield from differences(ours.get(key), theirs.get(key), f"{where}.{key}".lstrip("."))
    elif ours != theirs:
        yield where, ours, theirs
