"""Features from raw files to the dataset, for sequences and for rows."""

import csv
import json
import math
import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from etils import epath

from podway.beam.error import DataError
from podway.beam.statistics import statistics
from podway.framework import artifact
from podway.framework.config import Csv, GlobalTime, JsonLines, Parquet, RowExamples, SideTable
from podway.framework.config.features import (
    Categorical,
    Cyclical,
    Gap,
    Hashed,
    Label,
    Numeric,
    Quantiles,
    Text,
)
from podway.framework.input.dataset import Dataset
from podway.framework.schema.fitted import read_transforms
from podway.framework.schema.schema import OUT_OF_VOCABULARY, PADDING, Schema, Vocabulary
from tests.beam.conftest import letters_of, report_of

DAY = 86_400

# Time in days. u trains on a and b, v (two events) on c and a; x is only in u's test.
EVENTS = [
    {"user": "u", "item": "a", "time": 1 * DAY, "price": "1", "shop": "s1", "tags": "red|blue"},
    {"user": "u", "item": "b", "time": 2 * DAY, "price": "3", "shop": "s2", "tags": ""},
    {"user": "u", "item": "c", "time": 3 * DAY, "price": "50", "shop": "s3", "tags": "green"},
    {"user": "u", "item": "x", "time": 4 * DAY, "price": "90", "shop": "s1", "tags": "red"},
    {"user": "v", "item": "c", "time": 1.25 * DAY, "price": "", "shop": "s1", "tags": "red|red"},
    {"user": "v", "item": "a", "time": 1.5 * DAY, "price": "2", "shop": "", "tags": "blue|new"},
]
FEATURES = (
    Numeric("price"),
    Categorical("shop"),
    Categorical("tags", many=True),
    Hashed("hashed", column="shop", buckets=10),
    Cyclical("hour", column="time"),
    Gap("gap"),
)
ITEMS = [
    {"id": "a", "title": "The Apple", "weight": 10.0},
    {"id": "b", "title": "the bread", "weight": None},
    {"id": "b", "title": "again", "weight": 5.0},
    {"id": "x", "title": "xylophone", "weight": 1e9},
    {"id": "z", "title": "zebra", "weight": 7.0},
]


def _write(path: pathlib.Path, rows: list[dict[str, Any]]) -> pathlib.Path:
    match path.suffix:
        case ".csv":
            with path.open("w") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _items(tmp_path: pathlib.Path) -> SideTable:
    path = _write(tmp_path / "items.parquet", ITEMS)
    features = (Text("title", max_tokens=2), Numeric("weight"))
    return SideTable("item", str(path), "id", features, Parquet())


def _examples(directory: epath.Path, split: str) -> list[dict[str, Any]]:
    """All examples, with the text of users and items; lists of lists are left out."""
    dataset = Dataset.open(directory)
    nested = {"tags"} if dataset.schema["item"].ragged else set()
    names = [f.name for f in dataset.schema.features if f.table == "events"]
    names = [name for name in names if split != "train" or "target" not in name]
    blocks = dataset.blocks(split)
    rows = []
    for index in range(len(blocks.rows)):
        columns: dict[str, Any] = blocks.read(
            [index], [name for name in names if name not in nested]
        )
        for row in range(int(blocks.rows[index])):
            example = {}
            for name, column in columns.items():
                if hasattr(column, "offsets"):
                    example[name] = column.values[column.offsets[row] : column.offsets[row + 1]]
                else:
                    example[name] = column[row]
            rows.append(example)
    users, items = dataset.vocabulary("user").values, dataset.vocabulary("item").values
    for example in rows:
        example["user"] = users[example["user"]]
        item = example["item"]
        example["item"] = "".join(items[i] for i in item) if item.ndim else items[item]
    return rows


def _vocabulary(directory: epath.Path, name: str) -> tuple[str, ...]:
    return Vocabulary.read(directory / "vocabulary" / f"{name}.jsonl").values


def test_features_of_sequences_are_fitted_on_train_only(tmp_path, build):
    path = _write(tmp_path / "a.csv", EVENTS)
    directory = build(path, features=FEATURES, duplicates="drop")
    # Train: u's a, b and both of v's. Not seen: shop s3, tag green, the prices 50 and 90.
    assert set(_vocabulary(directory, "shop")[2:]) == {"s1", "s2"}
    assert _vocabulary(directory, "shop")[2] == "s1"
    assert set(_vocabulary(directory, "tags")[2:]) == {"red", "blue", "new"}
    fitted = {one.transform.name: one for one in read_transforms(directory / "transform.json")}
    assert fitted["price"].mean == 2.0
    assert math.isclose(fitted["price"].deviation, math.sqrt(2 / 3), rel_tol=1e-6)
    (test,) = _examples(directory, "test")
    assert (test["user"], test["item"]) == ("u", "abc")
    expected = [(1 - 2) / math.sqrt(2 / 3), (3 - 2) / math.sqrt(2 / 3), 48 / math.sqrt(2 / 3)]
    assert test["price"].tolist() == pytest.approx(expected, rel=1e-6)
    s1, s2 = (_vocabulary(directory, "shop").index(name) for name in ("s1", "s2"))
    assert test["shop"].tolist() == [s1, s2, OUT_OF_VOCABULARY]
    assert test["gap"].tolist() == pytest.approx([0, math.log1p(DAY), math.log1p(DAY)])
    (v,) = [row for row in _examples(directory, "train") if row["user"] == "v"]
    assert v["item"] == "ca"
    assert v["price"].tolist() == pytest.approx([0, 0])  # missing is the mean; 2 is the mean
    assert v["shop"].tolist() == [s1, PADDING]
    assert v["hashed"].tolist() == [test["hashed"][0], PADDING]
    assert v["hour"].tolist() == [pytest.approx([1, 0], abs=1e-6), pytest.approx([0, -1], abs=1e-6)]
    schema = Schema.read(directory / "schema.json")
    assert (schema["hour"].shape, schema["hour"].ragged) == ((2,), True)
    assert schema["hashed"].size == 12


def test_side_tables_are_joined_by_id(tmp_path, build):
    directory = build(_write(tmp_path / "a.csv", EVENTS), tables=(_items(tmp_path),))
    values = _vocabulary(directory, "item")
    assert set(values[2:]) == {"a", "b", "c"}
    with pa.OSFile(str(directory / "features" / "item.arrow")) as file:
        (batch,) = [pa.ipc.open_file(file).get_batch(0)]
        table = dict(zip(values, batch.to_pylist(), strict=True))
    title = _vocabulary(directory, "title")
    words = {item: [title[id] for id in row["title"]] for item, row in table.items()}
    assert words == {"": [], "a": ["the", "apple"], "b": ["the", "bread"], "c": []}
    # Only a's weight is known of the train split's items: x, though heavy, does not count.
    assert {row["weight"] for row in table.values()} == {0.0}
    fitted = {one.transform.name: one for one in read_transforms(directory / "transform.json")}
    assert (fitted["weight"].mean, fitted["weight"].deviation) == (10.0, 1.0)
    assert artifact.read(directory, "dataset").details["tables"] == [
        {"table": 0, "path": str(tmp_path / "items.parquet"), "of": "item", "rows": 5,
         "rejected": {}, "filtered": {}, "notices": {}, "keys": 4, "matched": 2, "repeated": 1,
         "unused": 2, "without": 1}
    ]  # fmt: skip
    found = statistics.read(directory / "statistics.json")["train"]
    assert (found["weight"]["count"], found["weight"]["missing"]) == (3, 2)
    assert Schema.read(directory / "schema.json")["title"].table == "item"


def test_rows_by_hand(tmp_path, build):
    # Of six times, number 3 (share .5) is day 2 and number 5 (share .84) is day 4.
    directory = build(
        _write(tmp_path / "a.csv", EVENTS),
        features=(Label("dear", column="price", above=2.5), *FEATURES[1:]),
        examples=RowExamples(),
        split=GlobalTime(0.5, 0.84),
        max_rejected=0.5,
    )
    assert report_of(directory)["rejected"] == {"missing dear": 1}
    assert [(letter["row"], letter["reason"]) for letter in letters_of(directory)] == [
        (5, "missing dear")
    ]
    found = {
        split: {
            (row["user"], row["item"], row["dear"], row["gap"] > 0)
            for row in _examples(directory, split)
        }
        for split in ("train", "validation", "test")
    }
    # Items out of train's vocabulary have no text here.
    assert found == {
        "train": {("u", "a", 0.0, False), ("v", "a", 0.0, False)},
        "validation": {("u", "", 1.0, True)},
        "test": {("u", "", 1.0, True)},
    }
    schema = Schema.read(directory / "schema.json")
    assert (schema["dear"].role, schema["item"].ragged) == ("label", False)
    assert (schema["tags"].ragged, schema["tags"].max_length) == (True, 2)


def _files(directory: epath.Path) -> dict[str, bytes]:
    return {
        path: (directory / path).read_bytes()
        for path in artifact.walk(directory)
        if path != artifact.MANIFEST
    }


def test_the_same_rows_give_the_same_bytes_in_every_format(tmp_path, build):
    typed = [
        row | {"time": int(row["time"]), "price": float(row["price"]) if row["price"] else None,
               "tags": row["tags"].split("|") if row["tags"] else []}
        for row in EVENTS
    ]  # fmt: skip
    plain = [row | {"time": int(row["time"])} for row in EVENTS]
    table = _items(tmp_path)
    features = (*FEATURES, Quantiles("bucket", column="price", buckets=3))
    found = [
        _files(build(_write(tmp_path / name, rows), format=format, features=features,
                     tables=(table,)))
        for name, rows, format in [
            ("a.csv", plain, Csv()),
            ("a.parquet", typed, Parquet()),
            ("a.jsonl", typed, JsonLines()),
        ]
    ]  # fmt: skip
    assert found[0] == found[1] == found[2]
    assert "features/item.arrow" in found[0]


def test_bad_values_are_rejected_by_the_features_name(tmp_path, build):
    rows = [*EVENTS * 20, EVENTS[0] | {"price": "cheap"}]
    directory = build(_write(tmp_path / "a.csv", rows), features=FEATURES)
    assert report_of(directory)["rejected"] == {"price is not a number": 1}
    path = _write(tmp_path / "b.csv", EVENTS)
    with pytest.raises(DataError, match=r"no column 'colour'; .*feature 'shade'"):
        build(path, features=(Categorical("shade", column="colour"),))


def test_duplicates_can_be_dropped(tmp_path, build):
    rows = [*EVENTS, EVENTS[4], EVENTS[4] | {"price": "7"}]
    path = _write(tmp_path / "a.csv", rows)
    kept = report_of(build(path, features=FEATURES))
    assert (kept["kept"], kept["repeated_events"], kept["filtered"]["duplicate"]) == (8, 2, 0)
    dropped = report_of(build(path, features=FEATURES, duplicates="drop"))
    assert (dropped["rows"], dropped["kept"]) == (8, 6)
    assert (dropped["repeated_events"], dropped["filtered"]["duplicate"]) == (0, 2)
