"""What a served model promises: the export options, resolved against a dataset. Pure Python."""

import dataclasses
from typing import Literal

from podway.framework import config
from podway.framework.error import check
from podway.framework.schema.schema import FIRST_VALUE, Schema

Kind = Literal["binary", "classes", "number"]
"""Of a label: its answer is a probability f32 [batch], one of each class, or a number f32 [batch].

The framework's objectives Binary, Classes and Regression."""


@dataclasses.dataclass(frozen=True)
class Contract:
    """The numbers that graph, golden file, warm-up and manifest agree on.

    Attributes:
      target: oldest TensorFlow that must run the model, a key of target.TARGETS.
      top_k: items returned per row.
      max_history: latest ids of a row that the model is given.
      batch_buckets: batch sizes that are compiled, rising.
      exclude_seen: whether items of the history are left out of the answer.
      candidate_filter: whether requests may bring lists of items to choose from and to leave out.
      times: whether requests bring the times of their histories' events, which the model reads.
      answers: attributes of items that are answered beside each, as text.
    """

    target: str
    top_k: int
    max_history: int
    batch_buckets: tuple[int, ...]
    exclude_seen: bool = True
    candidate_filter: bool = False
    times: bool = False
    answers: tuple[str, ...] = ()


def resolve(
    options: config.Export, schema: Schema, *, exclude_seen: bool = True, times: bool = False
) -> Contract:
    """The contract. Raises ConfigError where there are fewer items than are to be returned."""
    items = schema["item"].size - FIRST_VALUE
    check(
        options.top_k <= items,
        f"export.top_k is {options.top_k}, but the dataset has {items} items; give at most that",
    )
    return Contract(
        target=options.target,
        top_k=options.top_k,
        max_history=longest_history(options, schema),
        batch_buckets=options.batch_buckets,
        exclude_seen=exclude_seen,
        candidate_filter=options.candidate_filter,
        times=times,
        answers=options.answers,
    )


def longest_history(options: config.Export, schema: Schema) -> int:
    """Latest ids of a row that the model is given.

    By default the longest in the dataset, rounded up to a power of two, so that a dataset that grew
    a little keeps its shapes, and with them the server's compiled functions.
    """
    return options.max_history or 1 << (max(schema["item"].max_length, 1) - 1).bit_length()
