"""Times for the histories of golden requests, where a model reads them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

SHORT = 3
"""Events of a history whose times may lie further apart than i32 holds."""


def draw_times(histories: Sequence[Sequence[Any]]) -> list[list[int]]:
    """Whole seconds since 1970 for each event, rising, some at once; of gaps of any order."""
    draw = np.random.default_rng(2)

    def row(count: int) -> list[int]:
        longest = 24 if count <= SHORT else 16
        gaps = np.exp(draw.uniform(0, longest, count)).astype(np.int64) - 1
        return (1_500_000_000 + np.cumsum(gaps)).tolist()

    return [row(len(history)) for history in histories]


def add_times(
    rows: Sequence[dict[str, Any]], times: Sequence[list[int]] | None
) -> list[dict[str, Any]]:
    """The rows, each with its times; as they are where there are none."""
    if times is None:
        return [*rows]
    return [row | {"times": given} for row, given in zip(rows, times, strict=True)]
