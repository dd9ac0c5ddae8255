"""The last step: the facts of all parts become schema.json, statistics.json and the report."""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam
import polars as pl
from etils import epath

from podway.beam import headers
from podway.beam.error import portable
from podway.beam.report import page
from podway.beam.statistics import alike, statistics
from podway.beam.steps.facts import LATER, OLD, ReadCounts, ShardFacts, TableFacts, VocabularyTotals
from podway.beam.steps.number import Learnt
from podway.framework.config import Data, GlobalTime, RowExamples
from podway.framework.config.features import Categorical
from podway.framework.schema.fitted import write_transforms
from podway.framework.schema.schema import (
    EVENT_WEIGHT,
    FIRST_VALUE,
    SPLITS,
    VOCABULARY_ROWS,
    Feature,
    Schema,
    Vocabulary,
)

TOP = 10_000
"""Values of a vocabulary that statistics may name."""


class Summarise(apache_beam.DoFn):
    """Facts of all shards → the manifest's details; writes what describes the dataset."""

    def __init__(self, data: Data, stage: str):
        self._data, self._stage = data, stage

    def process(
        self,
        element: bytes,
        facts: list[ShardFacts],
        cuts: list[Any] | None,
        before: dict[str, Any] | None,
        reads: list[ReadCounts],
        filtered: list[int],
        duplicates: list[int],
        old: list[int],
        totals: list[VocabularyTotals],
        learnt: list[Learnt],
        tables: list[TableFacts],
        table_reads: list[tuple[int, ReadCounts]],
    ) -> Iterator[dict[str, Any]]:
        """All of them; the element says nothing."""
        if before is not None:  # an extension does not read its base's rows again
            rules = {rule: n for rule, n in before["filtered"].items() if rule not in LATER}
            notices = before.get("notices", {})
            reads = [*reads, ReadCounts(before["rows"], before["rejected"], rules, notices)]
            duplicates = [*duplicates, before["filtered"]["duplicate"]]
            old = [*old, before["filtered"].get(OLD, 0)]
        columns = headers.group(
            sorted((read.file, read.columns) for read in reads if read.file),
            before.get("columns", ()) if before else (),
        )
        shards = sorted(facts, key=lambda shard: shard.bucket)
        tables = sorted(tables, key=lambda table: table.table)
        sizes = {name: _total(totals, name).size + FIRST_VALUE for name in _roles(self._data)}
        order = [feature.name for feature in self._data.features]
        learnt = sorted(learnt, key=lambda one: order.index(one[0].transform.name))
        described = schema(self._data, shards, tables, learnt, sizes)
        fitted = [*learnt, *(one for table in tables for one in table.learnt)]
        later: dict[str, list[int]] = {}
        later |= zip(LATER, (filtered, duplicates, old), strict=True)
        details = {
            "splits": layout(shards),
            "cuts": cuts,
            "report": report(self._data, shards, reads, later, totals) | {"columns": columns},
            "tables": [
                self._describe(table, table_reads, None if before else totals) for table in tables
            ],
        }
        stage = epath.Path(self._stage)
        with portable():
            described.write(stage / "schema.json")
            write_transforms(stage / "transform.json", tuple(one for one, _ in fitted))
            rowless = not details["report"]["kept"]
            if totals or not (sizes or rowless):  # else the dataset will be refused
                sizes |= {
                    one.vocabulary: one.size - getattr(one.transform, "oov_buckets", 1) + 1
                    for one, _ in fitted
                    if one.vocabulary
                }
                # The most frequent values are the first ones, but not in an extension.
                rows = TOP if before is None else VOCABULARY_ROWS
                words = {name: _words(stage, name, size, rows) for name, size in sizes.items()}
                categories = {
                    one.vocabulary: words[one.vocabulary]
                    for one, _ in fitted
                    if one.vocabulary and isinstance(one.transform, Categorical)
                }
                details["report"]["alike"] |= _alike(categories)
                found = _statistics(words, described, shards, tables)
                statistics.write(stage / "statistics.json", found)
                page.write(stage / "statistics.html", self._data.name, details, described, found)
        yield details

    def _describe(
        self,
        table: TableFacts,
        reads: Sequence[tuple[int, ReadCounts]],
        totals: Sequence[VocabularyTotals] | None,
    ) -> dict[str, Any]:
        """What the report says of a side table; `totals` None: of a dataset that was extended."""
        matched = table.keys - table.unused
        if self._data.tables[table.table].catalogue:  # its own keys are all in the vocabulary
            matched = None if totals is None else _total(totals, table.of).trained - table.without
        return {
            "table": table.table,
            "path": self._data.tables[table.table].path,
            "of": table.of,
            **_count([read for number, read in reads if number == table.table]),
            "keys": table.keys,
            "matched": matched,
            "repeated": table.repeated,
            "unused": table.unused,
            "without": table.without,
        }


def _roles(data: Data) -> list[str]:
    """Of user and item what there is."""
    return [name for name in ("user", "item") if name not in data.columns.absent]


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


def schema(
    data: Data,
    shards: Sequence[ShardFacts],
    tables: Sequence[TableFacts],
    learnt: Sequence[Learnt],
    sizes: dict[str, int],
) -> Schema:
    """The dataset's columns; `sizes` are those of the vocabularies of users and items."""
    parts = [part for shard in shards for part in shard.splits.values()]

    def long(name: str) -> int:
        return max((part.longest.get(name, 0) for part in parts), default=0)

    lists = not isinstance(data.examples, RowExamples)
    length = long("item") if lists else 1
    features = [
        Feature("user", "user", "int32", vocabulary="user", size=sizes.get("user", 0)),
        Feature("item", "item", "int32", lists, "item", sizes.get("item", 0), length),
        Feature("time", "time", "int64", lists, max_length=length),
    ]
    features = [feature for feature in features if feature.name not in data.columns.absent]
    if data.columns.weight is not None or data.targets:
        features.append(Feature(EVENT_WEIGHT, "weight", "float32", lists, max_length=length))
    if lists:
        features += [
            Feature("target", "target", "int32", vocabulary="item", size=sizes["item"]),
            Feature("target_time", "target_time", "int64"),
        ]
    for _, feature in learnt:
        ragged = lists or feature.ragged
        features.append(
            dataclasses.replace(feature, ragged=ragged, max_length=long(feature.name) or 1)
        )
    for table in tables:
        for _, feature in table.learnt:
            longest = table.longest.get(feature.name, 0)
            features.append(dataclasses.replace(feature, max_length=longest or 1))
    return Schema(tuple(features))


def _words(stage: epath.Path, name: str, size: int, rows: int) -> Vocabulary:
    """A vocabulary whose first rows alone have their values: to read a huge one takes long."""
    values = Vocabulary.read(stage / "vocabulary" / f"{name}.jsonl", rows=rows).values
    unnamed: Any = (None,) * (size - len(values))
    return Vocabulary(values + unnamed, (0,) * size)


def _alike(words: Mapping[str, Vocabulary]) -> dict[str, Any]:
    """What looks alike of the most frequent values of features."""
    found = {}
    for name, vocabulary in words.items():
        values = pl.Series([value for value in vocabulary.values if value], dtype=pl.String)
        if (one := alike.find(values)).groups:
            found[name] = dataclasses.asdict(one)
    return found


def _statistics(
    words: Mapping[str, Vocabulary],
    described: Schema,
    shards: Sequence[ShardFacts],
    tables: Sequence[TableFacts],
) -> dict[str, Any]:
    """Split → feature → statistics; of side tables under the train split, which chose the rows."""
    found: dict[str, Any] = {}
    for split in SPLITS:
        parts = [shard.splits[split].statistics for shard in shards]
        parts += [table.statistics for table in tables] if split == "train" else []
        found[split] = {
            feature.name: statistics.to_json(
                statistics.merge([part[feature.name] for part in mine]),
                feature,
                words.get(feature.vocabulary or ""),
            )
            for feature in described.features
            if (mine := [part for part in parts if feature.name in part])
        }
    return found


def report(
    data: Data,
    shards: Sequence[ShardFacts],
    reads: Sequence[ReadCounts],
    later: Mapping[str, Sequence[int]],
    totals: Sequence[VocabularyTotals],
) -> dict[str, Any]:
    """The numbers of the report (overview.report says what they are).

    Checks that each row of the input is kept, filtered or rejected, and, of a global split, that
    no target is earlier than a train event.
    """
    found = _count(reads)
    roles = {name: _total(totals, name) for name in _roles(data)}
    kept = sum(shard.events for shard in shards)
    dropped = found["filtered"]
    for rule, counts in later.items():
        if rule != OLD or data.max_user_events is not None:
            dropped[rule] = dropped.pop(rule, 0) + sum(counts)
    rejected = sum(found["rejected"].values())
    assert found["rows"] == kept + sum(dropped.values()) + rejected, "rows got lost"
    trained = sum(shard.trained for shard in shards)
    assert {total.events for total in roles.values()} <= {trained}, "vocabularies miscount"
    early = None if data.columns.time is None else early_targets(shards)
    assert early == 0 or not isinstance(data.split, GlobalTime), "a global split leaks"
    users = sum(shard.users for shard in shards) if "user" in roles else None
    items = roles["item"].size if "item" in roles else None
    firsts = [shard.first for shard in shards if shard.first is not None]
    lasts = [shard.last for shard in shards if shard.last is not None]
    return {
        "rows": found["rows"],
        "kept": kept,
        "filtered": dropped,
        "rejected": found["rejected"],
        "users": users,
        "items": items,
        "density": _density(kept, users, items),
        "tied_events": sum(shard.tied_events for shard in shards) / max(kept, 1),
        "tied_users": sum(shard.tied_users for shard in shards) / max(users or 0, 1),
        "repeated_events": sum(shard.repeated_events for shard in shards),
        "early_test_targets": early,
        "context_events": _sum([shard.context_events for shard in shards]),
        "seen_test_targets": _sum([shard.seen_test_targets for shard in shards]),
        "first": None if early is None else min(firsts, default=None),
        "last": None if early is None else max(lasts, default=None),
        "largest": {
            name: [total.top[0], total.top[1] / max(trained, 1)] for name, total in roles.items()
        },
        "alike": {
            name: dataclasses.asdict(total.alike)
            for name, total in roles.items()
            if total.alike.groups
        },
        "placeholders": {
            name: total.placeholders for name, total in roles.items() if total.placeholders
        },
        "notices": found["notices"],
        "longest_history": max(
            (part.longest.get("item", 0) for shard in shards for part in shard.splits.values()),
            default=0,
        ),
    }


def _density(kept: int, users: int | None, items: int | None) -> float | None:
    """Events per pair of user and item; None where there are no such pairs."""
    if users is None or items is None:
        return None
    return kept / (users * items) if users and items else 0.0


def _sum(counts: Sequence[int | None]) -> int | None:
    """None where any is None."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def early_targets(shards: Sequence[ShardFacts]) -> int:
    """Test targets that are earlier than the latest train event of anybody."""
    latest = [t for shard in shards if (t := shard.splits["train"].latest) is not None]
    if not latest:
        return 0
    end = max(latest)
    return sum(int((shard.splits["test"].targets < end).sum()) for shard in shards)


def _count(reads: Sequence[ReadCounts]) -> dict[str, Any]:
    rejected, filtered, notices = (collections.Counter() for _ in range(3))
    for file in reads:
        rejected.update(file.rejected)
        filtered.update(file.filtered)
        notices.update(file.notices)
    return {
        "rows": sum(file.rows for file in reads),
        "rejected": dict(sorted(rejected.items())),
        "filtered": dict(sorted(filtered.items())),
        "notices": dict(sorted(notices.items())),
    }


def _total(totals: Sequence[VocabularyTotals], feature: str) -> VocabularyTotals:
    mine = [total for total in totals if total.feature == feature]
    return VocabularyTotals(
        feature=feature,
        size=sum(total.size for total in mine),
        events=sum(total.events for total in mine),
        trained=sum(total.trained for total in mine),
        top=max((total.top for total in mine), key=lambda top: top[1], default=("", 0)),
        alike=alike.merge([total.alike for total in mine]),
        placeholders={key: n for total in mine for key, n in total.placeholders.items()},
    )
