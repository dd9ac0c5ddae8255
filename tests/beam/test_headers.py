"""Files of one dataset whose columns differ: who has which, and what an extension brings."""

import json

import polars as pl
import pytest

from podway.beam import headers, overview
from podway.beam.error import ColumnError
from podway.framework import artifact
from podway.framework.config import Columns, Csv, JsonLines, Parquet
from podway.framework.config.features import Numeric
from tests.beam.conftest import make_data, report_of
from tests.beam.extending import Workplace

ROWS = {"user": ["u"] * 4, "item": list("abcd"), "time": [1, 2, 3, 4]}


def write(path, **columns):
    frame = pl.DataFrame({**ROWS, **columns})
    frame = frame.select(name for name in frame.columns if columns.get(name, True) is not None)
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
    return path


def test_a_missing_column_says_which_files_have_which(tmp_path, build):
    for day in range(1, 4):
        write(tmp_path / f"{day}.csv", price=[1.0] * 4, user=[f"u{day}"] * 4)
    write(tmp_path / "4.csv", cost=[1.0] * 4)
    with pytest.raises(ColumnError) as error:
        build(tmp_path / "*.csv", features=(Numeric("price"),))
    first, *table = str(error.value).splitlines()
    assert first.startswith(
        f"{tmp_path}/4.csv has no column 'price'; set the column of the feature"
    )
    assert table == [
        f"The files of {tmp_path}/*.csv have other columns:",
        f"      3 files, {tmp_path}/1.csv to {tmp_path}/3.csv, with user, item, time, price",
        f"      1 file, {tmp_path}/4.csv, without price; with cost (text)",
    ]


def test_where_all_files_are_alike_an_error_is_one_sentence(tmp_path, build):
    for day in range(2):
        write(tmp_path / f"{day}.csv", user=[f"u{day}"] * 4)
    with pytest.raises(ColumnError) as error:
        build(tmp_path / "*.csv", columns=Columns(user="who"))
    assert "\n" not in str(error.value)


def test_other_types_are_told_in_the_report(tmp_path, build):
    write(tmp_path / "1.parquet", price=[1, 2, 3, 4])
    write(tmp_path / "2.parquet", price=["1", "2", "3", "4"], user=["v"] * 4)
    write(tmp_path / "3.parquet", price=[5, 2, 3, 4], note=["x"] * 4, user=["w"] * 4)
    directory = build(tmp_path / "*.parquet", format=Parquet(), features=(Numeric("price"),))
    groups = report_of(directory)["columns"]
    assert [one["files"] for one in groups] == [1, 1, 1]
    said = overview.report(artifact.read(directory, "dataset"))
    assert f"1  file, {tmp_path}/1.parquet, with user, item, time, price" in said
    assert f"1  file, {tmp_path}/2.parquet, price is large_string, not int64" in said
    assert f"1  file, {tmp_path}/3.parquet, with note (large_string)" in said


def test_one_kind_of_files_is_not_told(tmp_path, build):
    directory = build(write(tmp_path / "1.csv"))
    assert len(report_of(directory)["columns"]) == 1
    assert "  columns" not in overview.report(artifact.read(directory, "dataset"))


def test_an_extension_says_what_changed(tmp_path):
    place = Workplace(tmp_path)
    write(place.raw / "1.csv", price=[1.0] * 4)
    place.build()
    write(place.raw / "2.csv", price=[1.0] * 4, user=["v"] * 4)
    extended = place.extend()
    assert artifact.read(extended, "dataset").details["since"]["columns"] == []
    write(place.raw / "3.csv", cost=[1.0] * 4, user=["w"] * 4)
    extended = place.extend()
    said = overview.report(artifact.read(extended, "dataset"))
    assert "1  of the new files has other columns: without price; with cost (text)" in said
    assert [one["files"] for one in report_of(extended)["columns"]] == [2, 1]


def test_of_json_lines_what_is_read_counts(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [
        {"user": 1, "item": "a", "time": 1, "noise": 1},
        {"user": "u", "item": "b", "time": 2.5, "other": [1], "tags": None},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\nbroken\n[1]\n")
    data = make_data(path, format=JsonLines())
    assert headers.of_file(str(path), data) == {
        "item": "text",
        "time": "number",
        "user": "number or text",
    }


def test_what_cannot_be_read_has_no_columns(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_text("no Parquet")
    assert headers.of_file(str(path), make_data(path, format=Parquet())) == {}
    assert headers.of_file(str(tmp_path / "b.csv"), make_data(path)) == {}
    data = make_data(path, format=Csv(header=False, names=("user", "item", "time")))
    assert list(headers.of_file(str(path), data)) == ["user", "item", "time"]
    (tmp_path / "empty.csv").write_text("")
    assert headers.of_file(str(tmp_path / "empty.csv"), make_data(path)) == {}
