"""A small dataset, written by hand in the documented layout, so that these tests need no Beam."""

import numpy as np
import pyarrow as pa
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath

from podway.framework import artifact
from podway.framework.input.batches import Dataset
from podway.framework.schema.schema import OUT_OF_VOCABULARY, Feature, Schema, Vocabulary

USERS, ITEMS, LONGEST = 96, 40, 14
GENRES, YEARS = 7, 5
ATTRIBUTES = (
    Feature("genres", "feature", "int32", True, "genres", GENRES, 3, table="item"),
    Feature("year", "feature", "int32", size=YEARS, table="item"),
)
TYPES = {"item": pa.list_(pa.int32()), "time": pa.list_(pa.int64())}
COLD = (38, 41)
"""Items without events, in the dataset `described`."""


def _histories() -> list[np.ndarray]:
    """Walks over the items in which the next item mostly is the one after: easy to learn."""
    generator = np.random.default_rng(7)
    histories = []
    for _ in range(USERS):
        length = int(generator.integers(5, LONGEST + 3))
        steps = np.where(generator.random(length) < 0.9, 1, generator.integers(0, ITEMS, length))
        histories.append((np.cumsum(steps) + generator.integers(ITEMS)) % ITEMS + 2)
    return histories


def times_of(history: np.ndarray) -> np.ndarray:
    """When each event of a history was, microseconds: gaps of up to months, and none."""
    generator = np.random.default_rng(history.tolist())
    gaps = np.exp(generator.uniform(0, 16, len(history))).astype(np.int64) - 1
    return (1_500_000_000 + np.cumsum(gaps)) * 1_000_000 + generator.integers(0, 1000, len(history))


def _write_shard(path: epath.Path, rows: list[dict], blocks: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = ArrayRecordWriter(str(path), "group_size:1")
    start = 0
    for size in blocks:
        part = rows[start : start + size]
        start += size
        columns = {
            name: pa.array([row[name] for row in part], TYPES.get(name, pa.int32()))
            for name in part[0]
        }
        batch = pa.RecordBatch.from_pydict(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        writer.write(sink.getvalue().to_pybytes())
    writer.close()


def described_items() -> dict[str, pa.Array]:
    """Attributes by item id, each of up to three genres and one year, of which some are missing."""
    generator = np.random.default_rng(3)
    genres = [[], []] + [
        generator.integers(1, GENRES, generator.integers(0, 4)).tolist() for _ in range(ITEMS)
    ]
    years = np.concatenate([[0, 0], generator.integers(0, YEARS, ITEMS)])
    return {
        "genres": pa.array(genres, pa.list_(pa.int32())),
        "year": pa.array(years, pa.int32()),
    }


def _write_table(path: epath.Path) -> None:
    batch = pa.RecordBatch.from_pydict(described_items())
    path.parent.mkdir()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as file:
        file.write_batch(batch)


def write_dataset(
    directory: epath.Path,
    histories: list[np.ndarray] | None = None,
    unknown: int = 0,
    *,
    described: bool = False,
) -> Dataset:
    """`described`: with a side table of items, which has the features genres and year."""
    histories = _histories() if histories is None else histories
    splits: dict[str, list[dict]] = {"train": [], "validation": [], "test": []}
    for user, items in enumerate(histories):
        times = times_of(items)
        splits["train"].append({"user": user + 2, "item": items[:-2], "time": times[:-2]})
        for split, at in (("validation", -2), ("test", -1)):
            read = {"user": user + 2, "item": items[:at], "time": times[:at]}
            splits[split].append(read | {"target": items[at]})
    layout = {}
    for split, rows in splits.items():
        shards = []
        for shard, (start, blocks) in enumerate([(0, [20, 20, 10]), (50, [20, 20, 6])]):
            path = f"{split}/part-{shard:05}-of-00002.array_record"
            _write_shard(directory / path, rows[start : start + sum(blocks)], blocks)
            shards.append({"path": path, "blocks": blocks})
        layout[split] = {"examples": len(rows), "shards": shards}
    longest = max(map(len, histories)) - 1
    Schema(
        (
            Feature("user", "user", "int32", vocabulary="user", size=USERS + 2),
            Feature("item", "item", "int32", True, "item", ITEMS + 2, longest),
            Feature("time", "time", "int64", True, max_length=longest),
            Feature("target", "target", "int32", vocabulary="item", size=ITEMS + 2),
            *(ATTRIBUTES if described else ()),
        )
    ).write(directory / "schema.json")
    if described:
        _write_table(directory / "features" / "item.arrow")
    (directory / "vocabulary").mkdir()
    counts = np.bincount(np.concatenate(histories), minlength=ITEMS + 2)
    counts[OUT_OF_VOCABULARY] = unknown
    Vocabulary(("", "", *(f"item {i}" for i in range(ITEMS))), tuple(int(c) for c in counts)).write(
        directory / "vocabulary" / "item.jsonl"
    )
    artifact.commit(
        directory,
        kind="dataset",
        name="walks",
        version="walks-1",
        config={},
        inputs={},
        code="none",
        details={"splits": layout},
    )
    return Dataset.open(directory)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Dataset:
    return write_dataset(epath.Path(tmp_path_factory.mktemp("dataset")))


@pytest.fixture(scope="session")
def described(tmp_path_factory) -> Dataset:
    """With attributes of items, two of which have no events."""
    path = epath.Path(tmp_path_factory.mktemp("described"))
    others = [np.where(np.isin(each, COLD), each - 9, each) for each in _histories()]
    return write_dataset(path, others, described=True)


@pytest.fixture(scope="session")
def histories() -> list[np.ndarray]:
    return _histories()
