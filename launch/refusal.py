"""Sentences about a command line that cannot be read."""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterator

from podway.launch import fields
from podway.launch.fields import Option

HELP_ALL = "--help-all"
_SWAPPED = ("model", "optimizer", "format", "split", "examples")
"""Fields of which the config chooses the class."""
_KINDS = {"INT": "an integer", "FLOAT": "a number", "TEXT": "a text"}
_SHORT = 40


def typed(overrides: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The options as they were typed, each with its values."""
    flag, values = "", list[str]()
    for each in overrides:
        if not each.startswith("--"):
            values.append(each)
            continue
        if flag:
            yield flag, values
        flag, equals, value = each.partition("=")
        values = [value] if equals else []
    if flag:
        yield flag, values


class Refusal:
    """Sentences about what a command line says wrongly.

    Args:
      command: the verb and what it acts on.
      known: all options that there are.
      overrides: what was typed.
    """

    def __init__(self, command: str, known: list[Option], overrides: list[str]):
        self._command, self._overrides = command, overrides
        self._known = {option.flag: option for option in known}

    def unknown(self, tokens: list[str]) -> str:
        """What is no option, nor the value of one."""
        first = tokens[0]
        if not first.startswith("-"):
            return self._stray(first)
        flag = "--" + first.lstrip("-").partition("=")[0].replace("_", "-")
        option = self._known.get(flag)
        if option is not None and (words := _words(option)):
            return (
                f"{first} is chosen by a word without dashes, after all options: {_listed(words)}"
            )
        if option is not None and not option.part and first != flag:
            return f"{first} is written {flag}"
        if option is not None or flag.endswith(".type"):
            return self._part(first, flag)
        near = self._nearest(flag)
        hint = f"perhaps you meant {_listed(near)}" if near else f"{self._help} lists the options"
        return f"{first} is no option of `{self._command}`; {hint}"

    def choice(self, flag: str, value: str, choices: list[str]) -> str:
        """A value that is none of those that there are."""
        close = difflib.get_close_matches(value, choices, n=1)
        hint = f"perhaps you meant {close[0]}, of" if close else "give one of"
        return f"{flag} is {_short(value)}; {hint} {', '.join(choices)}"

    def missing(self, flag: str) -> str:
        """An option without its value."""
        option = self._known.get(flag)
        return f"{flag} needs a value: {flag} {option.kind if option else 'VALUE'}"

    def value(self, flag: str, message: str) -> str:
        """A value that is none of the option's type."""
        option = self._known.get(flag)
        values = [" ".join(values) for each, values in typed(self._overrides) if _same(each, flag)]
        if option is None or not values:
            return f"{flag}: {message}"
        kind = option.kind
        several = kind.endswith(" …")
        text = _KINDS.get(kind.removesuffix(" …"), kind)
        if several:
            text = f"{text.partition(' ')[2] or text}s, with a space between"
        if option.optional:
            text += ", or None"
        return f"{flag} is {_short(values[-1])}; give {text}"

    def _stray(self, word: str) -> str:
        at = self._overrides.index(word) if word in self._overrides else 0
        before = [each for each in self._overrides[:at] if each.startswith("--")][-1:]
        flag = before[0].replace("_", "-") if before else ""
        option = self._known.get(flag)
        if option is not None and option.negative is not None:
            return f"{flag} takes no value; give {flag} or {option.negative}"
        if option is not None:
            return f"{flag} takes one value, and {word!r} is one more; quote what has spaces"
        words = [each for option in self._known.values() for each in _words(option)]
        if near := difflib.get_close_matches(word, words, n=2):
            return f"{word!r} chooses nothing; perhaps you meant {_listed(near)}"
        if f"--{word}" in self._known:
            return f"{word!r} is no option of `{self._command}`; perhaps you meant --{word}"
        return f"`{self._command}` takes nothing more before its options: leave {word!r} out"

    def _part(self, typed: str, flag: str) -> str:
        part = flag.removesuffix(".type")
        below = [each for each in self._known if each.startswith(f"{part}.")]
        inner = f", say {below[0]}" if below else ""
        if part == flag and not flag.endswith(_SWAPPED):
            return f"{typed} stands for several options{inner}"
        return (
            f"{typed} is no option of its own: the class of `{part.removeprefix('--')}` is chosen"
            f" in the config's file, and its fields are options{inner}"
        )

    def _nearest(self, flag: str) -> list[str]:
        """Options that are like one that there is not: by the last part of their names, too."""
        leaves = [each for each, option in self._known.items() if not option.part]
        last = flag.removeprefix("--").rpartition(".")[2]
        ends: dict[str, list[str]] = {}
        for each in leaves:
            name = each.removeprefix("--").rpartition(".")[2]
            initials = "".join(word[:1] for word in name.split("-"))
            for key in {name, initials if len(initials) > 1 else name}:
                ends.setdefault(key, []).append(each)
        if last in ends:
            return ends[last][:4]
        close = difflib.get_close_matches(flag, leaves, n=2, cutoff=0.75)
        if not close:
            close = [
                each for end in difflib.get_close_matches(last, ends, n=2) for each in ends[end]
            ]
        return list(dict.fromkeys(close))[:4]

    @property
    def _help(self) -> str:
        return f"`{self._command} {HELP_ALL}`"


def _words(option: Option) -> list[str]:
    """The words that choose between dataclasses, or a dataclass and None: as tyro has them."""
    hint = fields.unannotated(option.hint)
    kinds = typing.get_args(hint)
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    if not union or not any(map(dataclasses.is_dataclass, kinds)):
        return []
    names = ["none" if kind is types.NoneType else _hyphens(kind.__name__) for kind in kinds]
    return [f"{option.flag.removeprefix('--')}:{name}" for name in names]


def _hyphens(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def _same(typed: str, flag: str) -> bool:
    return typed.replace("_", "-") == flag


def _short(value: str) -> str:
    return repr(value if len(value) <= _SHORT else f"{value[:_SHORT]}…")


def _listed(names: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
