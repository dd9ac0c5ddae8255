"""What is said about a dataset: numbers per shard, and their sum over all shards."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from beam.split import Events
from framework.config import Data, GlobalTime
from framework.schema import FIRST_VALUE, OUT_OF_VOCABULARY, SPLITS, Feature, Schema

QUANTILES = (0.25, 0.5, 0.75, 0.9, 0.99)


@dataclasses.dataclass(frozen=True)
class SplitFacts:
    """One split's part of one shard.

    Attributes:
      path: of the shard, relative to the dataset; None without examples, as there is no file then.
      blocks: examples in each record.
      lengths: number of examples by the length of their history.
      items: number of events in histories by item id.
      targets: number of targets by item id; empty for train.
      times: earliest and latest time in histories; None without any.
      target_times: of all targets; empty for train.
    """

    path: str | None
    blocks: list[int]
    lengths: np.ndarray
    items: np.ndarray
    targets: np.ndarray
    times: tuple[int, int] | None
    target_times: np.ndarray


@dataclasses.dataclass(frozen=True)
class ShardFacts:
    """One bucket of users.

    Attributes:
      bucket: its number.
      events: events that were kept.
      filtered: events that were not.
      tied_events: those that share user and time with another one.
      repeated_events: those that share user, time and item with an earlier one.
      tied_users: users whose last two events share the time.
      splits: by name.
    """

    bucket: int
    events: int
    filtered: int
    tied_events: int
    repeated_events: int
    tied_users: int
    splits: dict[str, SplitFacts]


@dataclasses.dataclass(frozen=True)
class ReadCounts:
    """One raw file: its rows, and how many of them were rejected for which reason."""

    rows: int
    rejected: dict[str, int]


@dataclasses.dataclass(frozen=True)
class VocabularyTotals:
    """One vocabulary: its size with the kept rows, and the events that it counts."""

    feature: str
    size: int
    events: int


def of_split(path: str | None, blocks: list[int], batch: pa.RecordBatch) -> SplitFacts:
    """The facts of one split of a shard."""
    item, time = (batch[name].values.to_numpy() for name in ("item", "time"))
    target, target_time = (
        batch[name].to_numpy() if name in batch.schema.names else np.array([], np.int64)
        for name in ("target", "target_time")
    )
    return SplitFacts(
        path=path,
        blocks=blocks,
        lengths=np.bincount(np.diff(batch["item"].offsets.to_numpy())),
        items=np.bincount(item),
        targets=np.bincount(target),
        times=(int(time.min()), int(time.max())) if len(time) else None,
        target_times=target_time,
    )


def of_shard(
    bucket: int, events: Events, filtered: int, splits: dict[str, SplitFacts]
) -> ShardFacts:
    """The facts of a shard; `filtered` events of its users were left out."""
    same_user = np.ones(max(len(events.item) - 1, 0), bool)
    same_user[events.offsets[1:-1] - 1] = False
    tied = same_user & (events.time[1:] == events.time[:-1])
    repeated = tied & (events.item_code[1:] == events.item_code[:-1])
    several = np.diff(events.offsets) >= 2
    return ShardFacts(
        bucket=bucket,
        events=len(events.item),
        filtered=filtered,
        tied_events=int((np.append(tied, False) | np.insert(tied, 0, False)).sum()),
        repeated_events=int(repeated.sum()),
        tied_users=int(tied[events.offsets[1:][several] - 2].sum()),
        splits=splits,
    )


def layout(shards: Sequence[ShardFacts]) -> dict[str, Any]:
    """Split → number of examples, and the files with the rows of their records."""
    found = {}
    for split in SPLITS:
        parts = [shard.splits[split] for shard in shards]
        found[split] = {
            "examples": sum(sum(part.blocks) for part in parts),
            "shards": [{"path": part.path, "blocks": part.blocks} for part in parts if part.path],
        }
    return found


def statistics(shards: Sequence[ShardFacts]) -> dict[str, Any]:
    """Split → feature → counts, lengths and ranges. Times are microseconds, or positions."""
    return {split: _statistics([shard.splits[split] for shard in shards]) for split in SPLITS}


def _statistics(parts: list[SplitFacts]) -> dict[str, Any]:
    lengths = _add([part.lengths for part in parts])
    items = _add([part.items for part in parts])
    times = [part.times for part in parts if part.times]
    found: dict[str, Any] = {
        "user": {"count": int(lengths.sum()), "distinct": int(lengths.sum())},
        "item": {**_ids(items), "length": _distribution(lengths)},
        "time": {"count": int(items.sum()), **_range(times)},
    }
    targets = _add([part.targets for part in parts])
    if targets.any():
        at = np.concatenate([part.target_times for part in parts])
        found["target"] = _ids(targets)
        found["target_time"] = {"count": len(at), **_range([(int(at.min()), int(at.max()))])}
    return found


def _add(counts: list[np.ndarray]) -> np.ndarray:
    """Sum of counts by number, of different lengths."""
    total = np.zeros(max(map(len, counts), default=0), np.int64)
    for part in counts:
        total[: len(part)] += part
    return total


def _ids(counts: np.ndarray) -> dict[str, int]:
    unknown = int(counts[OUT_OF_VOCABULARY : OUT_OF_VOCABULARY + 1].sum())
    known = int((counts > 0).sum()) - (unknown > 0)
    return {"count": int(counts.sum()), "distinct": known, "out_of_vocabulary": unknown}


def _range(times: list[tuple[int, int]]) -> dict[str, int]:
    if not times:
        return {}
    return {"min": min(first for first, _ in times), "max": max(last for _, last in times)}


def _distribution(counts: np.ndarray) -> dict[str, Any]:
    """Of a whole number, given how often each value occurs."""
    if not counts.any():
        return {}
    values, ends = np.flatnonzero(counts), np.cumsum(counts)
    total = int(ends[-1])
    quantiles = {
        str(share): int(np.searchsorted(ends, int(share * total), side="right"))
        for share in QUANTILES
    }
    return {
        "min": int(values[0]),
        "mean": float(values @ counts[values] / total),
        "max": int(values[-1]),
        "quantiles": quantiles,
    }


def schema(shards: Sequence[ShardFacts], users: int, items: int) -> Schema:
    """The dataset's columns; `users` and `items` are the sizes of the vocabularies."""
    lengths = [len(part.lengths) - 1 for shard in shards for part in shard.splits.values()]
    longest = max(lengths, default=0)
    return Schema(
        (
            Feature("user", "user", "int32", vocabulary="user", size=users),
            Feature("item", "item", "int32", True, "item", items, longest),
            Feature("time", "time", "int64", True, max_length=longest),
            Feature("target", "target", "int32", vocabulary="item", size=items),
            Feature("target_time", "target_time", "int64"),
        )
    )


def early_targets(shards: Sequence[ShardFacts]) -> int:
    """Test targets that are earlier than the latest train event of anybody."""
    latest = [part.times[1] for shard in shards if (part := shard.splits["train"]).times]
    if not latest:
        return 0
    end = max(latest)
    return sum(int((shard.splits["test"].target_times < end).sum()) for shard in shards)


def report(
    data: Data,
    shards: Sequence[ShardFacts],
    reads: Sequence[ReadCounts],
    vocabularies: Sequence[VocabularyTotals],
) -> dict[str, Any]:
    """The numbers of the report (dataset.report says what they are).

    Checks that each row of the input is kept, filtered or rejected, and, of a global split, that
    no target is earlier than a train event.
    """
    rows = sum(file.rows for file in reads)
    rejected: dict[str, int] = {}
    for file in reads:
        for reason, count in file.rejected.items():
            rejected[reason] = rejected.get(reason, 0) + count
    sizes = {total.feature: total.size for total in vocabularies}
    users, items = sizes["user"] - FIRST_VALUE, sizes["item"] - FIRST_VALUE
    kept = sum(shard.events for shard in shards)
    filtered = sum(shard.filtered for shard in shards)
    assert rows == kept + filtered + sum(rejected.values()), "rows got lost"
    assert {total.events for total in vocabularies} == {kept}, "vocabularies miscount"
    early = None if data.columns.time is None else early_targets(shards)
    assert early == 0 or not isinstance(data.split, GlobalTime), "a global split leaks"
    return {
        "rows": rows,
        "kept": kept,
        "filtered": {"k-core": filtered},
        "rejected": dict(sorted(rejected.items())),
        "users": users,
        "items": items,
        "density": kept / (users * items) if users and items else 0.0,
        "tied_events": sum(shard.tied_events for shard in shards) / max(kept, 1),
        "tied_users": sum(shard.tied_users for shard in shards) / max(users, 1),
        "repeated_events": sum(shard.repeated_events for shard in shards),
        "early_test_targets": early,
    }
