"""Does what stands in a dataclass's field fit its annotation? Python itself does not look."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

_SHORT = 40
_NAMES = {int: "an integer", float: "a number", str: "a text", bool: "True or False"}


@dataclasses.dataclass(frozen=True)
class Misfit:
    """A field that holds something of another type.

    Attributes:
      owner: the dataclass's instance.
      field: its name.
      sentence: what it holds, and what would be right.
    """

    owner: Any
    field: str
    sentence: str


def misfits(part: Any, where: str | None = None) -> Iterator[Misfit]:
    """The fields of a config part, and of the parts in it, that hold something of another type.

    Args:
      part: an instance of a dataclass.
      where: what leads to it, "trainer."; None: its fields are called "steps of Trainer".
    """
    try:
        hints = typing.get_type_hints(type(part))
    except (NameError, TypeError):  # a user's class whose annotations cannot be read
        return
    for field in dataclasses.fields(part):
        value = getattr(part, field.name, None)
        path = None if where is None else f"{where}{field.name}"
        name = path or f"{field.name} of {type(part).__name__}"
        if wrong := problem(value, hints[field.name]):
            yield Misfit(part, field.name, f"{name} is {wrong}")
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from misfits(value, path and f"{path}.")
        elif isinstance(value, tuple):
            for at, each in enumerate(value):
                if dataclasses.is_dataclass(each):
                    yield from misfits(each, path and f"{path}[{at}].")


def problem(value: Any, hint: Any) -> str | None:
    """What is wrong with a value, and what would be right; None: it fits."""
    if _fits(value, hint):
        return None
    if isinstance(value, type) and _fits_class(value, hint):
        return f"the class {value.__name__}; make one of it: {value.__name__}()"
    said = _said(value)
    item = _item(hint)
    if item is not None and isinstance(value, tuple):
        at, wrong = next((at, each) for at, each in enumerate(value) if not _fits(each, item))
        return f"a tuple with {_said(wrong)} at place {at}; give {_wanted(item)} there"
    if item is not None and isinstance(value, list) and all(_fits(each, item) for each in value):
        return "a list; give a tuple, in round brackets and with a comma even of one"
    if item is not None and _fits(value, item):
        return f"{said}; give a tuple, with a comma even of one: ({_written(value)},)"
    return f"{said}; give {_wanted(hint)}"


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if arguments[-1:] == (Ellipsis,):
            return all(_fits(each, arguments[0]) for each in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if hint in (int, float):
        accepted = (int, float) if hint is float else int
        return isinstance(value, accepted) and not isinstance(value, bool)
    if origin is not None or not isinstance(hint, type):
        return True  # a mapping, a function: not looked into
    try:
        return isinstance(value, hint)
    except TypeError:  # a protocol that cannot be asked
        return True


def _fits_class(cls: type, hint: Any) -> bool:
    options = typing.get_args(hint) or (hint,)
    return any(isinstance(each, type) and issubclass(cls, each) for each in options)


def _item(hint: Any) -> Any:
    """The type of the items of a tuple of any length; None: the hint is of none."""
    arguments = typing.get_args(hint)
    several = typing.get_origin(hint) is tuple and arguments[-1:] == (Ellipsis,)
    return arguments[0] if several else None


def _said(value: Any) -> str:
    if dataclasses.is_dataclass(value) or isinstance(value, type):
        kind = value if isinstance(value, type) else type(value)
        return f"{_article(kind.__name__)} {kind.__name__}"
    text = repr(value)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def _written(value: Any) -> str:
    return f"{type(value).__name__}(…)" if dataclasses.is_dataclass(value) else _said(value)


def _wanted(hint: Any) -> str:
    """What a type wants, in words."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(
            "None" if each is types.NoneType else _wanted(each) for each in arguments
        )
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(repr, arguments))
    if typing.get_origin(hint) is tuple:
        if arguments[-1:] == (Ellipsis,):
            return f"a tuple, of which each is {_wanted(arguments[0])}"
        return f"a tuple of {len(arguments)}"
    if hint in _NAMES:
        return _NAMES[hint]
    name = getattr(hint, "__name__", str(hint))
    beside = [
        each.__name__
        for each in getattr(hint, "__subclasses__", list)()
        if each.__module__ == hint.__module__
    ]
    choice = f": {', '.join(beside)}" if beside else f", as {name}(…)"
    if home := getattr(hint, "subclasses_in", None):
        package = __name__.rpartition(".code.")[0]
        choice = f": a class of {package}.{home}, or of your own"
    return f"{_article(name)} {name}{choice}"


def _article(name: str) -> str:
    return "an" if name[:1] in "AEIOU" else "a"
