"""For tests of extensions: raw files that come one by one, and datasets compared as text."""

import pathlib
import random
from typing import Any

import pyarrow as pa
from array_record.python.array_record_module import ArrayRecordReader
from etils import epath

from podway.beam import dataset
from podway.beam.features.fingerprint import fingerprints
from podway.framework import artifact
from podway.framework.config import Data
from podway.framework.schema.schema import SPLITS, Schema, Vocabulary
from tests.beam.conftest import make_data, write_csv


class Workplace:
    """A folder of raw files and a workdir, and one config on them."""

    def __init__(self, folder: pathlib.Path, **fields: Any):
        self.raw, self.workdir = folder / "raw", folder / "w"
        self.raw.mkdir()
        self.data: Data = make_data(self.raw / "*.csv", **fields)

    def add(self, name: str, events: list[tuple]) -> pathlib.Path:
        """One more file of (user, item, time)."""
        return write_csv(self.raw / name, events)

    def build(self) -> epath.Path:
        return dataset.build(self.data, self.workdir)

    def extend(self, since: str = "latest") -> epath.Path:
        directory, fresh = dataset.extend(self.data, self.workdir, since)
        assert fresh
        return directory

    def rebuild(self) -> epath.Path:
        """All raw files at once, elsewhere."""
        return dataset.build(self.data, self.workdir.with_name("whole"))

    def left(self) -> set[str]:
        """What lies beside the datasets and in their places."""
        return {path.name for path in self.workdir.glob("datasets/small/*")}


def bucket(user: str, buckets: int) -> int:
    """The bucket that a user's events lie in."""
    return int(fingerprints(pa.array([user]))[0]) % buckets


USERS = [f"u{at}" for at in range(12)]
BUCKETS = 4
HERE, THERE = ([user for user in USERS if bucket(user, BUCKETS) == at] for at in (1, 2))
"""Some users of two of the four buckets."""


def some_events(seed: int, users: list[str], count: int = 200) -> list[tuple[str, str, int]]:
    """Random events, many of them tied in time, of items that often come again."""
    generator = random.Random(seed)
    return [
        (
            generator.choice(users),
            f"i{int(generator.paretovariate(0.7)) % 40}",
            generator.randrange(60),
        )
        for _ in range(count)
    ]


def words(directory: epath.Path, name: str) -> Vocabulary:
    return Vocabulary.read(directory / "vocabulary" / f"{name}.jsonl")


def examples(directory: epath.Path, split: str) -> list[dict[str, Any]]:
    """All examples, in the order of their users, with text for all ids that have a vocabulary."""
    manifest = artifact.read(directory, "dataset")
    tables = []
    for shard in manifest.details["splits"][split]["shards"]:
        path = artifact.resolve(directory, shard["path"])
        records = ArrayRecordReader(str(path)).read_all()
        assert len(records) == len(shard["blocks"])
        tables += [pa.ipc.open_stream(record).read_all() for record in records]
    rows = pa.concat_tables(tables).to_pylist()
    for feature in Schema.read(directory / "schema.json").features:
        if feature.table == "events" and feature.vocabulary is not None:
            values = words(directory, feature.vocabulary).values
            for row in rows:
                if feature.name in row:
                    row[feature.name] = _as_text(row[feature.name], values)
    return sorted(rows, key=lambda row: (row["user"], row["time"], str(row)))


def _as_text(ids: Any, values: tuple[str, ...]) -> Any:
    if isinstance(ids, list):
        return [_as_text(one, values) for one in ids]
    return values[ids] or f"({ids})"


def same(extended: epath.Path, whole: epath.Path) -> None:
    """Asserts that both hold the same examples, vocabularies as sets, and numbers."""
    for split in SPLITS:
        assert examples(extended, split) == examples(whole, split), split
    for file in (whole / "vocabulary").iterdir():
        name = file.name.partition(".")[0]
        found, expected = words(extended, name), words(whole, name)
        assert dict(zip(found.values, found.counts, strict=True)) == dict(
            zip(expected.values, expected.counts, strict=True)
        ), name
    reports = [artifact.read(one, "dataset").details["report"] for one in (extended, whole)]
    assert reports[0] == reports[1]
