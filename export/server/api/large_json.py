"""Large JSON, read in short steps.

Python's own reader takes a document in one go, and no other thread runs meanwhile: of half a
million keys for half a second. Here it is given containers that are short, numbers and strings;
what is around them is read in Python.
"""

import gc
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from podway.export.server.api.aside import Check

MAX_DEPTH = 200
"""Containers in one another."""

_SHORT = 16 << 10
"""Characters of a container that is read in one go."""
_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r"[^\[\]{}\"]*")
"""Numbers, true, false and null."""
_CHECK_EVERY = 4096

Position = int


def loads(body: bytes, waits: Check) -> Any:
    """The value of a document, as json.loads has it.

    Raises:
      json.JSONDecodeError: it is no JSON.
      UnicodeDecodeError: it is no text.
      RecursionError: containers are nested too deeply.
    """
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    with _without_collection():
        reader = _Reader(text, waits)
        value, at = reader.value(reader.skip(0), 0)
        at = reader.skip(at)
    if at != len(text):
        raise json.JSONDecodeError("Extra data", text, at)
    return value


def texts(value: Any) -> Iterator[str]:
    """All strings of a value, keys included."""
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            todo += one
        elif isinstance(one, dict):
            yield from one
            todo += one.values()


class _Reader:
    def __init__(self, text: str, waits: Check):
        self._text, self._waits, self._count = text, waits, 0
        self._scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]

    def skip(self, at: Position) -> Position:
        """Where the next character is that is no white space."""
        match = _SPACE.match(self._text, at)
        return match.end() if match else at

    def value(self, at: Position, depth: int) -> tuple[Any, Position]:
        """A value and its end."""
        self._count += 1
        if self._count % _CHECK_EVERY == 0:
            self._waits()
        first = self._text[at : at + 1]
        if first not in ("[", "{"):
            return self._whole(self._text, at)
        end = self._text.find("]" if first == "[" else "}", at, at + _SHORT)
        if end >= 0:  # perhaps its own
            try:
                return self._scan(self._text[at : end + 1], 0)[0], end + 1
            except (ValueError, StopIteration):
                pass  # there is another within it
        if depth >= MAX_DEPTH:
            raise RecursionError(f"lists and objects are nested more than {MAX_DEPTH} deep")
        return (self._list if first == "[" else self._object)(at + 1, depth + 1)

    def _whole(self, text: str, at: Position) -> tuple[Any, Position]:
        try:
            return self._scan(text, at)
        except StopIteration as error:
            raise json.JSONDecodeError("Expecting value", text, error.value) from None

    def _list(self, at: Position, depth: int) -> tuple[list, Position]:
        text, found = self._text, []
        at = self.skip(at)
        if text[at : at + 1] == "]":
            return found, at + 1
        while True:
            numbers, at = self._numbers(at)
            found += numbers
            value, at = self.value(at, depth)
            found.append(value)
            at = self.skip(at)
            mark = text[at : at + 1]
            if mark == "]":
                return found, at + 1
            if mark != ",":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
            at = self.skip(at + 1)

    def _numbers(self, at: Position) -> tuple[list, Position]:
        """As many numbers of a list as can be read in one go, and where the next value begins."""
        stop = _PLAIN.match(self._text, at, at + _SHORT).end()  # type: ignore[union-attr]
        comma = self._text.rfind(",", at, stop)
        if comma < 0:
            return [], at
        try:
            found = self._scan(f"[{self._text[at:comma]}]", 0)[0]
        except (ValueError, StopIteration):
            found = []
        # Where none are, one by one: the error shall say where; nothing before a comma is one too.
        return (found, self.skip(comma + 1)) if found else ([], at)

    def _object(self, at: Position, depth: int) -> tuple[dict, Position]:
        text, found = self._text, {}
        at = self.skip(at)
        if text[at : at + 1] == "}":
            return found, at + 1
        while True:
            if text[at : at + 1] != '"':
                raise json.JSONDecodeError(
                    "Expecting property name enclosed in double quotes", text, at
                )
            key, at = self._whole(text, at)
            at = self.skip(at)
            if text[at : at + 1] != ":":
                raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
            found[key], at = self.value(self.skip(at + 1), depth)
            at = self.skip(at)
            mark = text[at : at + 1]
            if mark == "}":
                return found, at + 1
            if mark != ",":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
            at = self.skip(at + 1)


@contextmanager
def _without_collection() -> Iterator[None]:
    """JSON has no cycles; to look for them in a million lists, again and again, takes long."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
