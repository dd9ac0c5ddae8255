"""Progress of a pipeline that runs in this process: a bar per stage, with rate and ETA.

Workers report here. In another process than the caller's nobody shows bars, and reports are lost.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence

from podway.framework import progress

_lock = threading.Lock()
_shown: "_Bars | None" = None
_cancelled = threading.Event()


class Cancelled(Exception):
    """The caller has gone, and a worker that still runs shall stop."""


class _Bars:
    """Rows done by stage; each stage expects the rows that the one before it let through."""

    def __init__(self, shares: Sequence[float]):
        self.shares = shares
        self.fractions = [0.0] * len(shares)
        self.passed: dict[str, int] = {}
        self.bars: dict[str, progress.Progress] = {}

    def advance(self, stage: str, rows: int, total: int | None, passed: int) -> None:
        if stage not in self.bars:
            self.bars[stage] = progress.shown(stage, unit="row", scaled=True)
        self.passed[stage] = self.passed.get(stage, 0) + passed
        self.bars[stage].total = total
        self.bars[stage].update(rows)


@contextlib.contextmanager
def shown(shares: Sequence[float]) -> Iterator[None]:
    """Shows bars while the block runs; `shares` are the files' parts of all the input.

    Where the block is left by an exception, a worker that still runs stops at its next report.
    """
    global _shown
    _cancelled.clear()
    _shown = bars = _Bars(shares)
    try:
        yield
    except BaseException:
        _cancelled.set()
        raise
    finally:
        with _lock:
            _shown = None
            for bar in bars.bars.values():
                bar.close()


def read(file: int, fraction: float, rows: int, passed: int) -> None:
    """Reports rows that were read; so far the `fraction` of a file. Their total is estimated."""
    _stop_if_cancelled()
    with _lock:
        if _shown is None:
            return
        _shown.fractions[file] = fraction
        done = sum(s * f for s, f in zip(_shown.shares, _shown.fractions, strict=True))
        so_far = rows + (_shown.bars["read"].n if "read" in _shown.bars else 0)
        _shown.advance("read", rows, round(so_far / done) if done else None, passed)


def advance(stage: str, after: str, rows: int) -> None:
    """Reports rows of a stage, whose total is what the stage `after` let through."""
    _stop_if_cancelled()
    with _lock:
        if _shown is not None:
            _shown.advance(stage, rows, _shown.passed.get(after), rows)


def _stop_if_cancelled() -> None:
    if _cancelled.is_set():
        raise Cancelled
