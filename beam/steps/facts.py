"""What the steps of the pipeline report: numbers per file, bucket, shard and side table."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from podway.beam.statistics import statistics
from podway.beam.statistics.alike import Alike
from podway.beam.steps import split
from podway.beam.steps.split import Events
from podway.framework.config import Data, RowExamples
from podway.framework.schema.fitted import FittedTransform
from podway.framework.schema.schema import Feature

OLD = "max_user_events"
"""The rule by which a user's events before the latest ones are filtered."""

LATER = ("k-core", "duplicate", OLD)
"""Rules that filter events after they are read; the others are conditions of data.where."""


@dataclasses.dataclass(frozen=True)
class ReadCounts:
    """One raw file: its rows, and what became of them.

    Attributes:
      rows: all of them.
      rejected: how many, by reason.
      filtered: how many, by rule, such as a condition of data.where.
      notices: of how many of the others there is something to say.
      file: which one; "" for a base's.
      columns: that it has (see headers.of_file).
    """

    rows: int
    rejected: dict[str, int]
    filtered: dict[str, int] = dataclasses.field(default_factory=dict)
    notices: dict[str, int] = dataclasses.field(default_factory=dict)
    file: str = ""
    columns: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class VocabularyTotals:
    """One file of a vocabulary.

    Attributes:
      feature: whose it is.
      size: its values, without the kept rows.
      events: those of the train split that it counts.
      trained: values that the train split has.
      top: the most frequent value, and how many events have it.
      alike: values that look like one thing.
      placeholders: values that may stand for a missing one, and how many events have them.
    """

    feature: str
    size: int
    events: int
    trained: int = 0
    top: tuple[str, int] = ("", 0)
    alike: Alike = Alike()
    placeholders: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SplitFacts:
    """One split's part of one shard.

    Attributes:
      path: of the shard, relative to the dataset; None without examples, as there is no file then.
      blocks: examples in each record.
      longest: the longest list of each ragged column.
      latest: the latest time in histories; None without any.
      targets: times of the targets, where there are any.
      statistics: of each column.
    """

    path: str | None
    blocks: list[int]
    longest: dict[str, int]
    latest: int | None
    targets: np.ndarray
    statistics: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class ShardFacts:
    """One bucket of users.

    Attributes:
      bucket: its number.
      events: events that were kept.
      trained: those in the train split.
      tied_events: those that share user and time with another one.
      repeated_events: those that share user, time and item with an earlier one.
      first, last: times of the first and the last event; None without any.
      users: that have an event.
      tied_users: users whose last two events share the time.
      context_events: those that are history only; None where events have no weights.
      seen_test_targets: test targets that their own history has; None likewise.
      splits: by name.
    """

    bucket: int
    events: int
    trained: int
    tied_events: int
    repeated_events: int
    first: int | None
    last: int | None
    users: int
    tied_users: int
    context_events: int | None
    seen_test_targets: int | None
    splits: dict[str, SplitFacts]


@dataclasses.dataclass(frozen=True)
class TableFacts:
    """One side table.

    Attributes:
      table: its number in data.tables.
      of: "user" or "item".
      keys: that its rows have.
      repeated: rows whose key an earlier one has.
      unused: keys that the train split does not have.
      without: users or items of the train split that no row has.
      learnt: (FittedTransform, Feature) of each feature.
      longest: the longest list of each ragged column.
      statistics: of each feature, over the users or items of the train split.
    """

    table: int
    of: str
    keys: int
    repeated: int
    unused: int
    without: int
    learnt: list[tuple[FittedTransform, Feature]]
    longest: dict[str, int]
    statistics: dict[str, Any]


def of_split(
    path: str | None, blocks: list[int], batch: pa.RecordBatch, raw: Mapping[str, pa.Array]
) -> SplitFacts:
    """The facts of one split of a shard; `raw` are numbers as they were before the transforms."""
    columns = {name: batch[name] for name in batch.schema.names}
    time = _flat(columns["time"]) if "time" in columns else np.array([], np.int64)
    targets = columns.get("target_time")
    described = columns
    if targets is not None:  # the histories are the train split's, and a little more
        described = {name: columns[name] for name in ("user", "item", "target", "target_time")}
        raw = {}
    return SplitFacts(
        path=path,
        blocks=blocks,
        longest=longest(columns),
        latest=int(time.max()) if len(time) else None,
        targets=np.array([], np.int64) if targets is None else targets.to_numpy(),
        statistics=describe(described, raw),
    )


def longest(columns: Mapping[str, pa.Array]) -> dict[str, int]:
    """The longest list of each ragged column."""
    lists = {name: column for name, column in columns.items() if pa.types.is_list(column.type)}
    return {
        name: int(np.diff(column.offsets.to_numpy()).max(initial=0))
        for name, column in lists.items()
    }


def describe(columns: Mapping[str, pa.Array], raw: Mapping[str, pa.Array]) -> dict[str, Any]:
    """Statistics of each column: of raw numbers where there are, else of what the shards hold; of
    a vector its mean."""
    found = {}
    for name, column in columns.items():
        lengths = None
        if pa.types.is_list(column.type):
            lengths = statistics.numbers(np.diff(column.offsets.to_numpy()))
            column = column.flatten()
        if name in raw:
            values = raw[name].to_numpy(zero_copy_only=False)
            found[name] = statistics.numbers(values)
        elif pa.types.is_int32(column.type) or pa.types.is_list(column.type):
            inner = _flat(column)
            found[name] = statistics.ids(np.bincount(inner).astype(np.int64), lengths)
        elif pa.types.is_fixed_size_list(column.type):
            vectors = column.flatten().to_numpy().reshape(len(column), column.type.list_size)
            found[name] = statistics.numbers(vectors.mean(axis=1))
        else:
            found[name] = statistics.numbers(column.to_numpy(zero_copy_only=False))
    return found


def _flat(column: pa.Array) -> np.ndarray:
    while pa.types.is_list(column.type):
        column = column.flatten()
    return column.to_numpy()


def of_shard(
    bucket: int,
    data: Data,
    events: Events,
    cuts: Any,
    trained: int,
    splits: dict[str, SplitFacts],
) -> ShardFacts:
    """The facts of a shard."""
    weights, seen = events.weights, None
    if weights is not None and not isinstance(data.examples, RowExamples):
        seen = split.seen_targets(events, split.examples(data.split, events, cuts)["test"])
    same_user = np.ones(max(len(events.item) - 1, 0), bool)
    same_user[events.offsets[1:-1] - 1] = False
    tied = same_user & (events.time[1:] == events.time[:-1])
    repeated = tied & (events.item[1:] == events.item[:-1])
    several = np.diff(events.offsets) >= 2
    return ShardFacts(
        bucket=bucket,
        events=len(events.item),
        trained=trained,
        tied_events=int((np.append(tied, False) | np.insert(tied, 0, False)).sum()),
        repeated_events=int(repeated.sum()),
        first=int(events.time.min()) if len(events.time) else None,
        last=int(events.time.max()) if len(events.time) else None,
        users=len(events.user),
        tied_users=int(tied[events.offsets[1:][several] - 2].sum()),
        context_events=None if weights is None else int((weights == 0).sum()),
        seen_test_targets=seen,
        splits=splits,
    )
