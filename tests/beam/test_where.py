"""data.where, from raw files to the report: what is filtered, and what is rejected all the same."""

import json
import pathlib

import polars as pl
import pytest

from podway.beam import dataset, overview, rejected
from podway.beam.error import DataError
from podway.framework import artifact
from podway.framework.config import (
    AnyOf,
    AtLeast,
    Below,
    Csv,
    JsonLines,
    Missing,
    NoneOf,
    NotMissing,
    OneOf,
    Parquet,
    SideTable,
)
from podway.framework.config.features import Categorical
from podway.framework.error import ConfigError
from tests.beam.conftest import by_user, letters_of, make_data, report_of, write_csv
from tests.beam.extending import Workplace, examples, same

# Half of what an export of events often is: heartbeats without an item, and views.
LOG = [
    {
        "user": f"u{at % 3}",
        "item": f"i{at % 5}" if at % 4 else None,
        "time": at,
        "event": ["ping", "view", "buy", "buy"][at % 4],
        "rating": None if at % 6 == 0 else at % 6,
    }
    for at in range(120)
]
WHERE = (OneOf("event", ("view", "buy")), AnyOf((AtLeast("rating", 2), Missing("rating"))))


def _wanted() -> list[dict]:
    return [
        row
        for row in LOG
        if row["event"] in ("view", "buy") and (row["rating"] is None or row["rating"] >= 2)
    ]


def _files(folder: pathlib.Path, rows: list[dict]) -> dict[str, tuple[pathlib.Path, object]]:
    folder.mkdir()
    frame = pl.DataFrame(rows, schema_overrides={"item": pl.String})
    frame.write_csv(folder / "a.csv")
    frame.write_parquet(folder / "a.parquet", row_group_size=30)
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    formats = {"a.csv": Csv(), "a.parquet": Parquet(), "a.jsonl": JsonLines()}
    return {name: (folder / name, format) for name, format in formats.items()}


def test_the_same_rows_in_every_format_as_without_the_others(tmp_path, build):
    whole = _files(tmp_path / "whole", LOG)
    for name, (path, format) in _files(tmp_path / "wanted", _wanted()).items():
        expected = build(path, format=format)
        found = build(whole[name][0], format=format, where=WHERE)
        assert by_user(found, "test") == by_user(expected, "test")
        fingerprints = [
            overview.fingerprint(artifact.read(d, "dataset")) for d in (found, expected)
        ]
        assert fingerprints[0] == fingerprints[1]
        report = report_of(found)
        pings = sum(row["event"] == "ping" for row in LOG)
        rest = len(LOG) - pings - len(_wanted())
        assert report["filtered"] == {
            "where: event one of view, buy": pings,
            "where: rating at least 2 or rating missing": rest,
            "k-core": 0,
            "duplicate": 0,
        }
        assert (report["rows"], report["kept"], report["rejected"]) == (120, len(_wanted()), {})
        said = overview.report(artifact.read(found, "dataset"))
        assert f"{pings}  by where: event one of view, buy" in said
        page = (found / "statistics.html").read_text()
        assert "filtered: where: event one of view, buy" in page


def test_of_what_is_read_too_much_is_rejected(tmp_path, build):
    """9 of 10 rows are unwanted; of the 100 others 2 are bad."""
    lines = ["user,item,time,event", *("u,,x,ping" for _ in range(900))]
    lines += [f"u{at % 7},{'' if at < 2 else 'i'},{at},buy" for at in range(100)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines) + "\n")
    where = (OneOf("event", ("buy",)),)
    with pytest.raises(DataError, match=r"2 of 100 rows .*\(missing item: 2\)"):
        build(path, where=where)
    directory = build(path, where=where, max_rejected=0.02)
    assert [row["row"] for row in letters_of(directory)] == [901, 902]
    assert letters_of(directory)[0]["raw"]["event"] == "buy"
    assert "1,000 rows, 98 kept, 900 filtered by where: event one of buy" in rejected.show(
        directory, samples=1, reason=None
    )


def test_a_value_that_cannot_be_compared_is_rejected_unless_another_condition_decides(
    tmp_path, build
):
    lines = ["user,item,time,event,rating"]
    lines += [f"u,i{at},{at},buy,{at % 5}" for at in range(20)]
    lines += ["u,i,30,buy,many", "u,i,31,ping,many"]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines) + "\n")
    directory = build(
        path, where=(AtLeast("rating", 1), NoneOf("event", ("ping",))), max_rejected=0.1
    )
    assert [(row["row"], row["reason"]) for row in letters_of(directory)] == [
        (21, "rating is not a number")
    ]
    assert report_of(directory)["filtered"]["where: event none of ping"] == 1


def test_errors_name_the_column_and_the_file(tmp_path, build):
    path = write_csv(tmp_path / "a.csv", [("u", f"i{at}", at) for at in range(9)])
    with pytest.raises(DataError, match=r"a\.csv has no column 'event'; set the column of a cond"):
        build(path, where=(OneOf("event", ("buy",)),))
    with pytest.raises(ConfigError, match=r"none of the 9 rows .*where: item one of I1: 9\)"):
        build(path, where=(OneOf("item", ("I1",)),))


def test_side_tables(tmp_path, build):
    events = write_csv(tmp_path / "a.csv", [("u", f"i{at % 4}", at) for at in range(9)])
    items = tmp_path / "items.csv"
    rows = ["i0,de,alt", "i0,en,old", "i1,en,new", "i2,de,neu", ",de,leer"]
    items.write_text("item,language,age\n" + "\n".join(rows) + "\n")
    table = SideTable(
        "item", str(items), "item", (Categorical("age"),), where=(OneOf("language", ("en",)),)
    )
    directory = build(events, tables=(table,))
    (told,) = artifact.read(directory, "dataset").details["tables"]
    assert (told["rows"], told["repeated"], told["rejected"]) == (5, 0, {})
    assert told["filtered"] == {"where: language one of en": 3}
    assert "3  by where: language one of en" in overview.report(artifact.read(directory, "dataset"))
    words = (directory / "vocabulary" / "age.jsonl").read_text()
    assert "old" in words
    assert "alt" not in words


def test_an_extension_filters_as_a_rebuild_does(tmp_path):
    place = Workplace(tmp_path, where=(Below("time", 50), NotMissing("item")), max_rejected=0)
    place.add("1.csv", [(f"u{at % 5}", f"i{at % 3}", at) for at in range(60)])
    place.build()
    place.add("2.csv", [("u1", "i1", 60), ("u1", "i2", 7), ("u7", "", 8)])
    extended, whole = place.extend(), place.rebuild()
    same(extended, whole)
    filtered = report_of(extended)["filtered"]
    assert (filtered["where: time below 50"], filtered["where: item not missing"]) == (11, 1)
    place.add("3.csv", [("u1", "i1", 70)])  # nothing of it is wanted
    assert examples(place.extend(), "test") == examples(whole, "test")


def test_another_condition_is_another_dataset(tmp_path):
    path = write_csv(tmp_path / "a.csv", [("u", f"i{at}", at) for at in range(9)])
    found = {
        dataset.directory(make_data(path, where=where), tmp_path / "w").name
        for where in ((), (Below("time", 5),), (Below("time", 6),), (AtLeast("time", 5),))
    }
    assert len(found) == 4
