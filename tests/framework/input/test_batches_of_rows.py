"""Batches of rows: scalars, vectors, lists, and what is joined from tables."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import synthetic
from podway.framework.error import ConfigError
from podway.framework.input.batches import Arrays, Dataset, TrainBatches, batch_shapes, read_ahead
from podway.framework.schema.schema import Feature, SchemaError

ROWS, ITEMS = 1000, 30
LENGTHS = {
    "row": 1,
    "item": 1,
    "label": 1,
    "day": 1,
    "tags": 4,
    "item.genres": 3,
    "item.price": 1,
    "item.look": 1,
}


def lists(counts: np.ndarray, values: pa.Array) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def vectors(values: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def item_table(generator: np.random.Generator) -> pa.Table:
    counts = np.concatenate([[0, 0], generator.integers(0, 6, ITEMS - 2)])
    return pa.table(
        {
            "genres": lists(counts, pa.array(np.arange(counts.sum(), dtype=np.int32) + 2)),
            "price": generator.random(ITEMS).astype(np.float32),
            "look": vectors(generator.random((ITEMS, 5)).astype(np.float32)),
        }
    )


ITEM_FEATURES = (
    Feature("genres", "feature", "int32", True, max_length=5, table="item"),
    Feature("price", "feature", "float32", table="item"),
    Feature("look", "feature", "float32", shape=(5,), table="item"),
)


@pytest.fixture(scope="module")
def examples() -> pa.Table:
    generator = np.random.default_rng(3)
    counts = generator.integers(0, 9, ROWS)
    return pa.table(
        {
            "row": np.arange(ROWS, dtype=np.int32),
            "item": generator.integers(2, ITEMS, ROWS).astype(np.int32),
            "time": np.arange(ROWS),
            "label": generator.random(ROWS).astype(np.float32),
            "day": vectors(generator.random((ROWS, 2)).astype(np.float32)),
            "tags": lists(counts, pa.array(np.arange(counts.sum(), dtype=np.int32) + 2)),
        }
    )


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return item_table(np.random.default_rng(4))


@pytest.fixture(scope="module")
def dataset(examples, table, tmp_path_factory) -> Dataset:
    return synthetic.write(
        tmp_path_factory.mktemp("data") / "rows",
        examples,
        [
            Feature("row", "feature", "int32"),
            Feature("item", "item", "int32", vocabulary="item", size=ITEMS),
            Feature("time", "time", "int64"),
            Feature("label", "label", "float32"),
            Feature("day", "feature", "float32", shape=(2,)),
            Feature("tags", "feature", "int32", True, max_length=8),
            *ITEM_FEATURES,
        ],
        block_rows=64,
        shards=3,
        tables={"item": table},
    )


def batches(dataset, lengths=None, **changes) -> TrainBatches:
    options: dict[str, Any] = {"batch_size": 48, "steps": 60, "seed": 0, "window": 3} | changes
    return TrainBatches(dataset, LENGTHS if lengths is None else lengths, **options)


def padded(values: list, length: int) -> list:
    return values + [0] * (length - len(values))


def test_every_row_comes_with_its_own_values(dataset, examples, table):
    """Three epochs, in batches that lie across their borders."""
    seen = []
    source = batches(dataset, batch_size=24, steps=125)
    for batch in (source[i] for i in range(125)):
        for at, row in enumerate(batch["row"].tolist()):
            item = examples["item"][row].as_py()
            assert batch["item"][at] == item
            assert batch["label"][at] == examples["label"][row].as_py()
            assert batch["day"][at].tolist() == examples["day"][row].as_py()
            assert batch["tags"][at].tolist() == padded(examples["tags"][row].as_py()[-4:], 4)
            assert batch["item.genres"][at].tolist() == padded(table["genres"][item].as_py()[:3], 3)
            assert batch["item.price"][at] == table["price"][item].as_py()
            assert batch["item.look"][at].tolist() == table["look"][item].as_py()
            seen.append(row)
    epochs = [seen[start : start + ROWS] for start in range(0, 3 * ROWS, ROWS)]
    assert [sorted(epoch) for epoch in epochs] == 3 * [list(range(ROWS))]
    assert epochs[0] != epochs[1] != epochs[2]


def test_batches_are_shaped_as_the_step_is_compiled_for(dataset):
    shapes = batch_shapes(dataset.schema, LENGTHS, 48)
    batch = batches(dataset)[0]
    assert {name: (array.shape, array.dtype) for name, array in batch.items()} == shapes
    assert shapes["day"][0] == (48, 2)
    assert shapes["tags"][0] == (48, 4)
    assert shapes["item.genres"][0] == (48, 3)


def test_attributes_of_a_sequence_s_items_and_vectors_in_sequences(table, tmp_path):
    generator = np.random.default_rng(5)
    counts = generator.integers(1, 12, 80)
    columns = {
        "item": pa.array(generator.integers(2, ITEMS, counts.sum()).astype(np.int32)),
        "hour": vectors(generator.random((counts.sum(), 2)).astype(np.float32)),
    }
    columns = {name: lists(counts, values) for name, values in columns.items()}
    examples = pa.table({"row": np.arange(80, dtype=np.int32)} | columns)
    dataset = synthetic.write(
        tmp_path / "sequences",
        examples,
        [
            Feature("row", "feature", "int32"),
            Feature("item", "item", "int32", True, "item", ITEMS, 11),
            Feature("hour", "feature", "float32", True, max_length=11, shape=(2,)),
            *ITEM_FEATURES,
        ],
        block_rows=16,
        tables={"item": table},
    )
    lengths = {"row": 1, "item": 6, "hour": 6, "item.genres": 3, "item.price": 1, "item.look": 1}
    batch = batches(dataset, lengths, batch_size=80)[0]
    assert {name: (array.shape, array.dtype) for name, array in batch.items()} == (
        batch_shapes(dataset.schema, lengths, 80)
    )
    genres = [padded(row[:3], 3) for row in table["genres"].to_pylist()]
    expected = np.array([[genres[item] for item in row] for row in batch["item"]])
    np.testing.assert_array_equal(batch["item.genres"], expected)
    np.testing.assert_array_equal(
        batch["item.look"], np.array(table["look"].to_pylist(), np.float32)[batch["item"]]
    )
    for row, hour in zip(batch["row"].tolist(), batch["hour"], strict=True):
        expected = examples["hour"][row].as_py()[-6:]
        assert hour[: len(expected)].tolist() == expected
        assert not hour[len(expected) :].any()


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ({"item": 1, "weight": 1}, SchemaError, "no feature 'weight'|have no weight"),
        ({"row": 1, "item.genres": 3}, SchemaError, "item.genres needs the column item"),
        ({"item": 1, "item.colour": 3}, SchemaError, "no feature 'colour'"),
        ({"row": 1, "row.genres": 3}, SchemaError, "ids in row are of the vocabulary None"),
        ({"item": 1, "time": 1}, ConfigError, "time, which is int64"),
    ],
)
def test_what_cannot_be_read_is_named(dataset, lengths, error, message):
    with pytest.raises(error, match=message):
        batch_shapes(dataset.schema, lengths, 8)
        batches(dataset, lengths)[0]


def equal(first, second) -> bool:
    return len(first) == len(second) and all(
        all(np.array_equal(a[name], b[name]) for name in LENGTHS)
        for a, b in zip(first, second, strict=True)
    )


@pytest.fixture(scope="module")
def whole(dataset) -> list[Arrays]:
    """60 batches: nearly three epochs."""
    source = batches(dataset)
    return [source[i] for i in range(60)]


@pytest.mark.parametrize("readers", [1, 2, 4])
def test_the_order_does_not_depend_on_the_threads(dataset, whole, readers):
    assert equal(whole, list(read_ahead(batches(dataset, readers=readers), 0)))


@pytest.mark.parametrize("processes", [2, 4])
def test_nor_on_the_worker_processes_and_a_stop_can_be_anywhere(dataset, whole, processes):
    """Stopped in the second epoch, across whose border the next batch lies."""
    stop = 41
    assert stop * 48 < 2 * ROWS < (stop + 1) * 48
    with_workers = read_ahead(batches(dataset), stop, processes=processes)
    assert equal(whole[stop:], list(with_workers))
    with_threads = read_ahead(batches(dataset, readers=3), 0)
    assert equal(whole[:stop], [next(with_threads) for _ in range(stop)])
    with_threads.close()


def test_parts_of_a_batch_are_what_the_whole_has_there(dataset, whole):
    """What processes read whose devices hold rows in several pieces."""
    ours = batches(dataset, rows=[(0, 10), (20, 33)])
    theirs = batches(dataset, rows=[(10, 20), (33, 48)])
    for at in (0, 20, 41, 59):
        for name in LENGTHS:
            a, b, both = ours[at][name], theirs[at][name], whole[at][name]
            pieces = [a[:10], b[:10], a[10:], b[10:]]
            np.testing.assert_array_equal(np.concatenate(pieces), both)


def test_placed_batches_come_in_order(dataset, whole):
    placed = read_ahead(
        batches(dataset, readers=2), 5, place=lambda batch: {"row": batch["row"].copy()}
    )
    assert all(
        np.array_equal(batch["row"], expected["row"])
        for batch, expected in zip(placed, whole[5:], strict=True)
    )


def test_any_access_pattern_gives_the_same_batches(dataset, whole):
    """Windows that were dropped from the cache are read again."""
    source = batches(dataset, readers=2)
    for at in np.random.default_rng(0).permutation(60):
        assert equal([whole[at]], [source[int(at)]])
