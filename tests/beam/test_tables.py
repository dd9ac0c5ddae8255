"""Tables without user, item or time, and random splits of rows."""

import pathlib
import random

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from array_record.python.array_record_module import ArrayRecordReader

from podway.beam import dataset, overview
from podway.beam.error import DataError
from podway.beam.steps import codes
from podway.framework import artifact
from podway.framework.config import (
    AtLeast,
    Columns,
    Csv,
    Data,
    GlobalTime,
    Parquet,
    RandomSplit,
    RowExamples,
    Sequences,
    SideTable,
)
from podway.framework.config.features import Categorical, Cyclical, Gap, Label, Numeric
from podway.framework.error import ConfigError
from podway.framework.schema.schema import SPLITS, Schema, Vocabulary
from tests.beam.conftest import report_of

FEATURES = (
    Categorical("town"),
    Numeric("size", scale="none"),
    Label("price"),
    Label("dear", column="price", above=3.0),
)
NOBODY = Columns(user=None, item=None, time=None)


def houses(count: int, seed: int = 0) -> list[tuple[str, int, float]]:
    """Towns, sizes, prices; some rows are equal to others, and one in ten is dear."""
    generator = random.Random(seed)
    found = []
    for _ in range(count):
        size = generator.randrange(40)
        found.append((generator.choice("abc"), size, 4.0 if size < 4 else size % 3 * 1.0))
    return found


def write(path: pathlib.Path, rows: list[tuple]) -> pathlib.Path:
    pl.DataFrame(rows, schema=["town", "size", "price"], orient="row").write_csv(path)
    return path


def table(path: pathlib.Path | str, **fields) -> Data:
    options = {"features": FEATURES, "columns": NOBODY, "examples": RowExamples()}
    options |= {"split": RandomSplit(), "shards": 2, "format": Csv()}
    return Data(name="houses", path=str(path), **{**options, **fields})


def rows_of(directory, names=("town", "size", "price")) -> dict[str, list[tuple]]:
    """Split → its rows, sorted."""
    manifest = artifact.read(directory, "dataset")
    towns = Vocabulary.read(directory / "vocabulary" / "town.jsonl").values
    found = {}
    for split in SPLITS:
        parts = []
        for shard in manifest.details["splits"][split]["shards"]:
            path = artifact.resolve(directory, shard["path"])
            records = ArrayRecordReader(str(path)).read_all()
            parts += [pa.ipc.open_stream(record).read_all() for record in records]
        rows = pa.concat_tables(parts).to_pylist()
        for row in rows:
            row["town"] = towns[row["town"]]
        found[split] = sorted(tuple(row[name] for name in names) for row in rows)
    return found


def test_a_table_becomes_rows_and_nothing_else(tmp_path):
    rows = houses(400)
    directory = dataset.build(table(write(tmp_path / "a.csv", rows)), tmp_path / "w")
    schema = Schema.read(directory / "schema.json")
    assert [feature.name for feature in schema.features] == ["town", "size", "price", "dear"]
    found = rows_of(directory)
    assert sorted(row for part in found.values() for row in part) == sorted(rows)
    sizes = {split: len(part) for split, part in found.items()}
    assert abs(sizes["test"] - 40) < 25
    assert abs(sizes["validation"] - 40) < 25
    report = report_of(directory)
    assert (report["users"], report["items"], report["density"]) == (None, None, None)
    assert report["repeated_events"] == 400 - len(set(rows))
    said = overview.report(artifact.read(directory, "dataset"))
    assert f"{400 - len(set(rows))}  rows equal an earlier one in all that is read" in said
    assert "users" not in said
    assert not list((directory / "vocabulary").glob("user*"))
    page = (directory / "statistics.html").read_text()
    assert "train examples" in page
    assert "density" not in page


def test_the_split_depends_on_what_rows_hold_alone(tmp_path):
    rows = houses(300)
    once = dataset.build(table(write(tmp_path / "a.csv", rows)), tmp_path / "w")
    expected = rows_of(once)
    shuffled = random.Random(1).sample(rows, len(rows))
    (tmp_path / "parts").mkdir()
    for part in range(3):
        frame = pl.DataFrame(shuffled[part::3], schema=["town", "size", "price"], orient="row")
        frame.write_parquet(tmp_path / "parts" / f"{part}.parquet")
    again = table(tmp_path / "parts", format=Parquet(), shards=5)
    assert rows_of(dataset.build(again, tmp_path / "w")) == expected
    other = table(tmp_path / "a.csv", split=RandomSplit(seed=1))
    assert rows_of(dataset.build(other, tmp_path / "w")) != expected
    one_shard = table(tmp_path / "parts", format=Parquet(), shards=2)
    directory = dataset.build(one_shard, tmp_path / "w")
    assert overview.fingerprint(artifact.read(directory, "dataset")) == overview.fingerprint(
        artifact.read(once, "dataset")
    )


def test_equal_rows_are_spread_over_the_splits(tmp_path):
    """Two rows make up the whole table: each has its share in each split."""
    rows = [("a", 1, 0.0)] * 3000 + [("b", 2, 1.0)] * 2000
    found = rows_of(dataset.build(table(write(tmp_path / "a.csv", rows)), tmp_path / "w"))
    for split, share in (("test", 0.1), ("validation", 0.1), ("train", 0.8)):
        for town, count in (("a", 3000), ("b", 2000)):
            part = sum(row[0] == town for row in found[split])
            deviation = np.sqrt(count * share * (1 - share))
            assert abs(part - count * share) < 5 * deviation, (split, town)


@pytest.mark.parametrize(("name", "at"), [("dear", None), ("price", 2), ("town", 0)])
def test_strata_have_their_shares_exactly(tmp_path, name, at):
    rows = houses(700)
    split = RandomSplit(validation=0.2, test=0.1, stratify=name)
    path = write(tmp_path / "a.csv", rows)
    found = rows_of(dataset.build(table(path, split=split), tmp_path / "w"))
    of = (lambda row: row[2] > 3) if at is None else (lambda row: row[at])
    for one in {of(row) for row in rows}:
        count = sum(of(row) == one for row in rows)
        tested, validated = (
            sum(of(row) == one for row in found[part]) for part in ("test", "validation")
        )
        assert tested == round(0.1 * count)
        assert tested + validated == round((0.1 + 0.2) * count)
    shuffled = write(tmp_path / "b.csv", rows[::-1])
    again = dataset.build(table(shuffled, split=split, shards=3), tmp_path / "w")
    assert rows_of(again) == found


def test_strata_of_many_values_are_refused(tmp_path):
    rows = [("a", at, at * 1.0) for at in range(1200)]
    data = table(write(tmp_path / "a.csv", rows), split=RandomSplit(stratify="price"))
    with pytest.raises(ConfigError, match="'price', which has more than 1,000 different values"):
        dataset.build(data, tmp_path / "w")


def test_users_stay_together(tmp_path):
    generator = random.Random(0)
    lines = ["user,town,size,price"]
    lines += [f"u{generator.randrange(60)},a,{at},{at % 3}" for at in range(600)]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    columns = Columns("user", item=None, time=None)
    data = table(
        tmp_path / "a.csv",
        columns=columns,
        split=RandomSplit(validation=0.2, test=0.2, by="user"),
        min_user_events=1,
    )
    found = rows_of(dataset.build(data, tmp_path / "w"), ("user", "size"))
    of = {size: line.split(",")[0] for line in lines[1:] for size in [int(line.split(",")[2])]}
    users = {split: {of[int(size)] for _, size in rows} for split, rows in found.items()}
    assert not users["train"] & users["test"]
    assert not users["train"] & users["validation"]
    assert not users["test"] & users["validation"]
    assert all(len(part) > 3 for part in users.values())
    report = report_of(dataset.build(data, tmp_path / "w"))
    assert (report["users"], report["items"]) == (60, None)


def test_a_user_without_items_and_an_item_without_users(tmp_path):
    lines = ["who,what,when,y", *(f"u{at % 5},i{at % 7},{at},{at % 2}" for at in range(140))]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    for columns, kept in (
        (Columns("who", None, "when"), 140),
        (Columns(None, "what", "when"), 140),
        (Columns(None, None, "when"), 140),
        (Columns(None, "what", None), 140),
    ):
        split = GlobalTime(0.7, 0.85) if columns.time else RandomSplit()
        data = Data(
            name="some",
            path=str(tmp_path / "a.csv"),
            columns=columns,
            features=(Label("y"), Cyclical("hour", column="when")),
            split=split,
            examples=RowExamples(),
            where=(AtLeast("y", 0),),
        )
        directory = dataset.build(data, tmp_path / "w")
        names = [feature.name for feature in Schema.read(directory / "schema.json").features]
        there = [role for role in ("user", "item", "time") if getattr(columns, role)]
        assert names == [*there, "y", "hour"]
        assert report_of(directory)["kept"] == kept
        splits = artifact.read(directory, "dataset").details["splits"]
        if columns.time:
            assert [splits[name]["examples"] for name in SPLITS] == [98, 21, 21]


def test_an_extension_leaves_rows_where_they_are(tmp_path):
    (tmp_path / "raw").mkdir()
    for split in (RandomSplit(), RandomSplit(stratify="dear")):
        for file in (tmp_path / "raw").iterdir():
            file.unlink()
        write(tmp_path / "raw" / "1.csv", houses(300))
        data = table(tmp_path / "raw" / "*.csv", split=split)
        before = rows_of(dataset.build(data, tmp_path / "w"))
        write(tmp_path / "raw" / "2.csv", houses(40, seed=1))
        extended, fresh = dataset.extend(data, tmp_path / "w", "latest")
        assert fresh
        found = rows_of(extended)
        for name in SPLITS:
            assert not set(before[name]) - set(found[name])
        assert sum(map(len, found.values())) == 340
        if split.stratify is None:
            whole = dataset.build(data, tmp_path / "whole")
            assert rows_of(whole) == found
        assert "40  new rows" in overview.report(artifact.read(extended, "dataset"))


def test_duplicates_may_be_dropped(tmp_path):
    rows = houses(300)
    data = table(write(tmp_path / "a.csv", rows), duplicates="drop")
    directory = dataset.build(data, tmp_path / "w")
    found = rows_of(directory)
    assert sorted(row for part in found.values() for row in part) == sorted(set(rows))
    assert report_of(directory)["filtered"]["duplicate"] == 300 - len(set(rows))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"examples": Sequences()}, "data.columns.user is None, and data.examples is Sequences"),
        ({"split": GlobalTime()}, "data.split is GlobalTime but data.columns.time is None"),
        ({"split": RandomSplit(by="user")}, "data.split.by is 'user' and data.columns.user"),
        ({"split": RandomSplit(stratify="size")}, r"stratify is 'size', which is no Label or Cat"),
        ({"max_items": 3}, "data.max_items is set and data.columns.item is None"),
        ({"features": (*FEATURES, Gap("gap"))}, "the Gap 'gap', which needs data.columns.user"),
        (
            {"tables": (SideTable("item", "b.csv", "item", (Numeric("weight"),)),)},
            "data.tables has attributes of items and data.columns.item is None",
        ),
        ({"columns": Columns(), "examples": Sequences()}, "data.split is RandomSplit, which is of"),
    ],
)
def test_what_does_not_fit_together_is_refused(fields, said):
    with pytest.raises(ConfigError, match=said):
        table("a.csv", **fields)
    with pytest.raises(ConfigError, match=r"data\.split is LeaveOneOut, which holds out each"):
        Data("a", "b", columns=NOBODY, examples=RowExamples(), features=FEATURES)


def test_too_few_rows_for_a_split_are_said(tmp_path):
    path = write(tmp_path / "a.csv", houses(3))
    with pytest.raises(DataError, match=r"no row is a .* example under data.split = RandomSplit"):
        dataset.build(table(path, split=RandomSplit(0.01, 0.01)), tmp_path / "w")


def test_hashes_of_rows():
    text = codes.dictionary(np.array([0, 1, 0], np.int32), np.array([5, 7], np.uint64))
    rows = {"a": text, "b": np.array([1.0, np.nan, 1.0], np.float32), "c": np.array([3, 4, 3])}
    found = codes.hash_rows(rows)
    assert found[0] == found[2] != found[1]
    other = codes.hash_rows({**rows, "c": np.array([3, 4, 5])})
    assert other[:2].tolist() == found[:2].tolist()
    assert other[2] != found[2]
    swapped = codes.hash_rows({"a": rows["c"], "b": rows["b"], "c": text})
    assert not set(swapped.tolist()) & set(found.tolist())
