"""The options that dataclasses stand for, read without tyro: flag, type, default and docstring."""

import ast
import dataclasses
import functools
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

import tyro

_ARGUMENT = type(tyro.conf.arg())


@dataclasses.dataclass(frozen=True)
class Option:
    """One option, or all those of a part at once.

    Attributes:
      flag: as it is typed: "--trainer.batch-size"; of a part "--trainer".
      hint: the type.
      default: the value without it.
      text: its docstring.
      part: whether it stands for the options below it.
    """

    flag: str
    hint: Any
    default: Any
    text: str
    part: bool = False

    @property
    def kind(self) -> str:
        """What is typed after it: "INT", "keep|new"; "" after a flag."""
        return _kind(self.hint)

    @property
    def optional(self) -> bool:
        """Whether None is a value, too."""
        return types.NoneType in typing.get_args(unannotated(self.hint))

    @property
    def negative(self) -> str | None:
        """Of a flag its opposite: "--data.no-extendable"."""
        if _bare(self.hint) is not bool:
            return None
        *above, name = self.flag.removeprefix("--").split(".")
        return f"--{'.'.join([*above, f'no-{name}'])}"


def of_class(cls: type, values: dict[str, Any], skip: type) -> Iterator[Option]:
    """The options of a verb: of its own fields, and of parts whose name is left out.

    Args:
      cls: a dataclass.
      values: defaults that are not those of the class.
      skip: a class whose options are left out.
    """
    for field, hint, name in _named(cls):
        value = values.get(field.name, _default(field))
        if _bare(hint) is skip:
            continue
        if not dataclasses.is_dataclass(value):
            yield Option(f"--{name}", hint, value, texts(cls).get(field.name, ""))
        elif name:
            yield Option(f"--{name}", hint, value, texts(cls).get(field.name, ""), part=True)
        else:
            yield from of_class(type(value), {}, skip)


def of_value(value: Any, prefix: str = "") -> Iterator[Option]:
    """All options of a dataclass's value, to the last one, and the parts that hold them."""
    for field, hint, name in _named(type(value)):
        part = getattr(value, field.name)
        yield from _of_part(part, hint, ".".join(filter(None, [prefix, name])), field, type(value))


def _of_part(
    part: Any, hint: Any, flag: str, field: dataclasses.Field, owner: type
) -> Iterator[Option]:
    several = isinstance(part, tuple) and bool(part) and dataclasses.is_dataclass(part[0])
    nested = dataclasses.is_dataclass(part)
    if flag:
        text = texts(owner).get(field.name, "")
        yield Option(f"--{flag}", hint, part, text, part=several or nested)
    if nested:
        yield from of_value(part, flag)
    elif several:
        for at, each in enumerate(part):
            yield from of_value(each, f"{flag}.{at}")


def _named(cls: type) -> Iterator[tuple[dataclasses.Field, Any, str]]:
    """Field, type and name on the command line; what is no option is left out."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        said = getattr(hints[field.name], "__metadata__", ())
        if tyro.conf.Suppress in said:
            continue
        given = [getattr(each, "name", None) for each in said if isinstance(each, _ARGUMENT)]
        name = given[0] if given and given[0] is not None else field.name
        yield field, hints[field.name], name.replace("_", "-")


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


@functools.cache
def texts(cls: type) -> dict[str, str]:
    """The docstring below each field of a dataclass, those of its bases included."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(base))
        except (OSError, TypeError):  # without a file
            continue
        (body,) = [node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
        for field, text in itertools.pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def unannotated(hint: Any) -> Any:
    """A type without what is annotated."""
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    return hint


def _bare(hint: Any) -> Any:
    """A type without what is annotated, and without None."""
    hint = unannotated(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        some = [each for each in typing.get_args(hint) if each is not types.NoneType]
        return _bare(some[0]) if len(some) == 1 else hint
    return hint


def _kind(hint: Any) -> str:
    hint = _bare(hint)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return "|".join(map(str, arguments))
    if typing.get_origin(hint) is tuple:
        return f"{_kind(arguments[0])} …"
    return {int: "INT", float: "FLOAT", bool: ""}.get(hint, "TEXT")
