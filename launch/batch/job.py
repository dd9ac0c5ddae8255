"""What is asked of a model, as plain data: all that a worker must know to answer a part of it."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from podway.launch.batch.folder import Folder

What = Literal["recommendations", "scores", "embeddings", "item-embeddings"]
PART = 8192
"""Of a part: what is lost at most when a process is killed."""
SCORES = 1 << 24
"""Numbers that a part may have, where it has one for each item: 64 MiB."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A job, decided before it runs.

    Attributes:
      model: folder of the model.
      dataset: folder of its dataset; "": it is not there, and not needed.
      folder: where the answers go.
      question: what is asked, as JSON; other answers are to another question.
      what: what the answers are.
      k: items of a list.
      allow: items to choose from; none: all.
      deny: items to leave out.
      kind: of whom they are (source.py).
      targets: whether the users' test targets count as seen.
      part: rows of a part.
      total: rows.
      name: of the experiment.
      inputs: versions of what the answers are made from.
    """

    model: str
    dataset: str
    folder: Folder
    question: Any
    what: What
    k: int
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    kind: str
    targets: bool
    part: int
    total: int
    name: str
    inputs: dict[str, str]

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-self.total // self.part)


def part_rows(what: What, items: int, most: int = PART) -> int:
    """Rows of a part: fewer where each has a score of every item."""
    return max(min(most, SCORES // max(items, 1)), 1) if what == "scores" else most
