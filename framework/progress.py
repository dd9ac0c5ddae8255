"""How far something is: a bar in a terminal, and elsewhere a line every half minute."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, Self, TextIO

from tqdm import tqdm

EVERY = 30.0
"""Seconds between two lines."""
BARS = "PODWAY_BARS"
"""Set in the environment of a process whose stderr someone passes on to a terminal."""


class Progress(Protocol):
    """What is done of something.

    Attributes:
      n: done so far.
      total: all that there is; None while nobody knows.
    """

    n: int
    total: int | None

    def update(self, n: int = 1) -> Any:
        """So much more is done."""
        ...

    def set_postfix(self, **values: Any) -> None:
        """Says more beside it."""
        ...

    def close(self) -> None:
        """Nothing more comes; can be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: Any, error: Any, trace: Any, /) -> Any: ...


def shown(
    what: str,
    *,
    unit: str,
    total: int | None = None,
    done: int = 0,
    scaled: bool = False,
    stays: bool = True,
    silent: bool = False,
) -> Progress:
    """Shows on stderr how far something is.

    Args:
      what: what is being done.
      unit: what is counted, in the singular.
      total: how many there are.
      done: how many were done before.
      scaled: whether a bar says 1.2M for 1,234,567.
      stays: whether it is to be seen after the end, too.
      silent: shows nothing.
    """
    if silent or sys.stderr.isatty() or os.environ.get(BARS):
        return tqdm(
            total=total,
            initial=done,
            desc=what,
            unit=f" {unit}",
            unit_scale=scaled,
            leave=stays,
            disable=silent,
        )
    return Lines(what, unit=unit, total=total, done=done, stays=stays)


class Lines:
    """Progress as lines of a log: what, done/total, rate since the last one, time that is left.

    At the end, where it stays, a line with the rate of the whole. Arguments are those of `shown`,
    a clock (seconds), and a file to print to; None: stderr.
    """

    def __init__(
        self,
        what: str,
        *,
        unit: str,
        total: int | None = None,
        done: int = 0,
        stays: bool = True,
        clock: Callable[[], float] = time.monotonic,
        file: TextIO | None = None,
    ):
        self.n, self.total = done, total
        self._what, self._unit, self._stays = what, unit, stays
        self._clock, self._file = clock, file
        self._more, self._closed = "", False
        self._first = self._last = (clock(), done)

    def update(self, n: int = 1) -> None:
        """So much more is done; prints a line when it is time."""
        self.n += n
        if self._clock() - self._last[0] >= EVERY:
            rate = self._rate(self._last)
            left = "?"
            if self.total is not None and rate > 0:
                left = tqdm.format_interval(max(self.total - self.n, 0) / rate)
            self._print(rate, f"{left} left")
            self._last = (self._clock(), self.n)

    def set_postfix(self, **values: Any) -> None:
        """Says more in the next lines."""
        self._more = "".join(f", {name} {value}" for name, value in values.items())

    def close(self) -> None:
        """Prints the last line, if it stays."""
        if not self._closed and self._stays:
            seconds = self._clock() - self._first[0]
            self._print(self._rate(self._first), f"{tqdm.format_interval(seconds)} in all")
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rate(self, since: tuple[float, float]) -> float:
        return (self.n - since[1]) / max(self._clock() - since[0], 1e-9)

    def _print(self, rate: float, time: str) -> None:
        total = "?" if self.total is None else f"{self.total:,.0f}"
        text = f"{self._what}: {self.n:,.0f}/{total} {self._unit}s"
        try:
            file = self._file or sys.stderr
            print(f"{text}, {_short(rate)}/s, {time}{self._more}", file=file, flush=True)
        except BrokenPipeError:
            pass  # work goes on that nobody watches


def _short(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else tqdm.format_sizeof(number)
