"""What is recommended: items with scores and attributes, for one history after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


@dataclasses.dataclass(frozen=True)
class Recommended:
    """One item of a list.

    Attributes:
      item: its id, as the raw data have it.
      score: as the model ranks by it.
      attributes: of the item, by name, as text: its title, say.
    """

    item: str
    score: float
    attributes: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Recommendations(Sequence[list[Recommended]]):
    """Lists of items, best first, one for each history; `recommendations[0]` is the first list.

    Attributes:
      items: ids, object [histories, k]; "" where too few items were left.
      scores: f32 [histories, k].
      attributes: of these items, by name, object [histories, k].
      users: whose lists these are; None where histories were given.
      unknown: how many items of each history the model lacks, int64 [histories].
    """

    items: np.ndarray
    scores: np.ndarray
    attributes: Mapping[str, np.ndarray]
    users: tuple[str, ...] | None
    unknown: np.ndarray

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, row: int) -> list[Recommended]: ...

    @overload
    def __getitem__(self, row: slice) -> list[list[Recommended]]: ...

    def __getitem__(self, row: int | slice) -> list[Any]:
        if isinstance(row, slice):
            return [self[at] for at in range(*row.indices(len(self)))]
        return [
            Recommended(
                item,
                float(self.scores[row, at]),
                {name: column[row, at] for name, column in self.attributes.items()},
            )
            for at, item in enumerate(self.items[row])
            if item
        ]

    def __iter__(self) -> Iterator[list[Recommended]]:
        return (self[row] for row in range(len(self)))

    def to_arrow(self) -> pa.Table:
        """A row for each item of each list: "user" (or "history", its number), "rank" from 1,
        "item", "score", and the attributes."""
        import pyarrow as pa

        there = self.items != ""
        row, rank = np.nonzero(there)
        if self.users is None:
            whose = {"history": pa.array(row, pa.int64())}
        else:
            whose = {"user": pa.array(np.array(self.users, object)[row], pa.string())}
        return pa.table(
            {
                **whose,
                "rank": pa.array(rank + 1, pa.int32()),
                "item": pa.array(self.items[there], pa.string()),
                "score": pa.array(self.scores[there], pa.float32()),
                **{
                    name: pa.array(column[there], pa.string())
                    for name, column in self.attributes.items()
                },
            }
        )

    def __str__(self) -> str:
        """The lists as text."""
        lines = []
        for row, found in enumerate(self):
            whose = f"user {self.users[row]}" if self.users else f"history {row}"
            lines.append(f"{whose}:" if found else f"{whose}: nothing is left to recommend")
            cells = [
                (str(rank), one.item, f"{one.score:.4f}", *one.attributes.values())
                for rank, one in enumerate(found, 1)
            ]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            for rank, *rest in cells:
                texts = [text.ljust(width) for text, width in zip(rest, widths[1:], strict=True)]
                lines.append(f"  {rank:>{widths[0]}}  {'  '.join(texts)}".rstrip())
        return "\n".join(lines)
