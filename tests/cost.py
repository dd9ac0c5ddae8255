"""How many seconds of a core each module's tests take: those of pytest, and of what they start.

`PODWAY_TEST_CPU=FILE make test`, then `sort -rn FILE`. On a busy machine `--durations` says how
long tests wait for others.
"""

import collections
import os
import pathlib
from collections.abc import Iterator

import pytest

from tests import forked


class Cost:
    """Adds a line for each module to a file: seconds, and its path."""

    def __init__(self, file: str):
        self._file = pathlib.Path(file).absolute()
        self._spent: collections.Counter[str] = collections.Counter()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        before = _used()
        try:
            return (yield)
        finally:
            self._spent[item.nodeid.partition("::")[0]] += _used() - before

    def pytest_sessionfinish(self) -> None:
        with self._file.open("a") as file:
            file.writelines(f"{spent:8.1f} {path}\n" for path, spent in self._spent.items())


def _used() -> float:
    """By this process, and by those that have ended and were waited for."""
    return sum(os.times()[:4]) + forked.used
