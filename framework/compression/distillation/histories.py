"""Train histories as teachers read them, block by block of the dataset.

Histories longer than a teacher reads are cut into stretches that overlap by half, so that each item
is seen behind half a length of others at least.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from podway.framework.input.columns import Arrays, Ragged, elapsed
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import PADDING

SHORTEST = 16
"""Histories are padded to this, or twice as much, and so on: so many programs are compiled."""


def after_each_item(
    dataset: Dataset,
    names: list[str],
    length: int,
    rows: int,
    columns: Mapping[str, jax.ShapeDtypeStruct],
    say: Callable[[Arrays], Mapping[str, Any]],
) -> Callable[[int], Arrays]:
    """A function: number of a train block → what is said after each item of its histories, by
    column, [items, …], and "lengths", [examples].

    Args:
      dataset: whose train split is read.
      names: its columns that are read, "item" and perhaps "time".
      length: items that are read at once, at most.
      rows: histories that are read at once, at most.
      columns: shape and type of what is said after one item.
      say: histories, padded at the end → what is said after each place, [rows, places, …].
    """
    blocks = dataset.blocks("train")

    def of_block(block: int) -> Arrays:
        read = blocks.read(np.array([block]), names)
        lists = {name: column for name, column in read.items() if isinstance(column, Ragged)}
        if "time" in lists:
            lists["time"] = elapsed(lists["time"])
        offsets = lists["item"].offsets
        found: Arrays = {
            name: np.zeros((int(offsets[-1]), *each.shape), each.dtype)
            for name, each in columns.items()
        }
        cut = stretches(offsets, length)
        order = np.argsort(cut[:, 1] - cut[:, 0], kind="stable")
        for chosen in np.split(cut[order], range(rows, len(cut), rows)):
            begin, end, new = chosen.T
            width = SHORTEST
            while width < (end - begin).max():
                width *= 2
            width = min(width, max(length, SHORTEST))
            at = begin[:, None] + np.arange(width)
            inside = at < end[:, None]
            batch = {
                name: np.where(inside, column.values[np.where(inside, at, 0)], PADDING)
                for name, column in lists.items()
            }
            filled = _power_of_two(len(chosen), rows) - len(chosen)
            batch = {name: np.pad(each, ((0, filled), (0, 0))) for name, each in batch.items()}
            kept = inside & (at >= new[:, None])
            for name, each in jax.device_get(say(batch)).items():
                found[name][at[kept]] = each[: len(chosen)][kept]
        return found | {"lengths": np.diff(offsets)}

    return of_block


def _power_of_two(count: int, most: int) -> int:
    return min(most, 1 << (count - 1).bit_length())


def stretches(offsets: Int[np.ndarray, " borders"], length: int) -> Int[np.ndarray, "stretches 3"]:
    """Lists of values, cut into stretches of at most `length`: where each begins and ends, and from
    where on it has what none before it had."""
    return np.array(list(_stretches(offsets, length)), np.int64).reshape(-1, 3)


def _stretches(offsets: np.ndarray, length: int) -> Iterator[tuple[int, int, int]]:
    step = max(1, length // 2)
    for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        new = begin
        while new < end:
            last = min(end, begin + length if new == begin else new + step)
            yield max(begin, last - length), last, new
            new = last
