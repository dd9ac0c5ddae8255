"""Data that people have, through the whole pipeline: read right, or refused with the remedy."""

import datetime
import gzip
import json
import logging
import pathlib
import random
import uuid
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from podway.beam import dataset, overview, rejected
from podway.beam.error import DataError
from podway.beam.formats import reader
from podway.beam.formats.parse import parse
from podway.beam.formats.recognise import clocks, recognise, resolve
from podway.framework import artifact
from podway.framework.config import Columns, Csv, Data, JsonLines, Parquet, SideTable
from podway.framework.config.features import Categorical, Cyclical, Numeric
from tests.beam.conftest import make_data, no_dataset, report_of, rows_of, write_csv
from tests.beam.extending import Workplace

START = 1_462_096_800


def fingerprint(directory) -> str:
    return overview.fingerprint(artifact.read(directory, "dataset"))


def told(directory) -> str:
    return overview.report(artifact.read(directory, "dataset"))


def some(count: int = 60) -> list[tuple[int, int, int]]:
    generator = random.Random(1)
    return [(at % 6, generator.randrange(5), START + 60 * at) for at in range(count)]


def read(path: pathlib.Path, **fields: Any) -> list[tuple]:
    """The events of a file, without the pipeline."""
    data = make_data(path, **fields)
    found = recognise(data, [str(path)])
    events = []
    for batch in reader.read(str(path), resolve(data, found)):
        clock = clocks(data, found)["time"]
        table, rejected, _ = parse(batch, str(path), 0, clock=clock)
        assert not rejected
        events += [tuple(row.values()) for row in table.to_pylist()]
    return events


# ------------------------------------------------------------------------------------- same ids

IDS = [0, 7, 10, 123_456_789, 2**53 + 1, 10**18]
NESTED = {"format": JsonLines(), "columns": Columns(user="user.id")}


def columns_of(users: list[int]) -> dict[str, pa.Array]:
    """Ids in every type that Parquet has for them."""
    texts = list(map(str, users))
    return {
        "string": pa.array(texts),
        "large_string": pa.array(texts, pa.large_string()),
        "string_view": pa.array(texts, pa.string_view()),
        "binary": pa.array([one.encode() for one in texts]),
        "binary_view": pa.array([one.encode() for one in texts], pa.binary_view()),
        "dictionary": pa.array(texts).dictionary_encode(),
        "int64": pa.array(users, pa.int64()),
        "uint64": pa.array(users, pa.uint64()),
        "decimal128(38, 0)": pa.array(users, pa.decimal128(38, 0)),
        "decimal128(38, 4)": pa.array(users, pa.decimal128(38, 0)).cast(pa.decimal128(38, 4)),
        "decimal256(60, 2)": pa.array(users, pa.decimal256(60, 2)),
    }


def test_the_same_ids_read_alike_in_every_format(tmp_path):
    """All types of Parquet in one dataset, each in a file; CSV and JSON with the same events."""
    rows = [(IDS[user], f"i{item}", time) for user, item, time in some(132)]
    kinds = list(columns_of([]))
    for number, kind in enumerate(kinds):
        users, items, times = map(list, zip(*rows[number :: len(kinds)], strict=True))
        table = pa.table({"user": columns_of(users)[kind], "item": items, "time": times})
        assert str(table.schema.field("user").type).startswith(kind.split("(")[0])
        pq.write_table(table, tmp_path / f"{number}.parquet")
    quoted = "".join(f'"{user}"::"{item}"::"{time}"\n' for user, item, time in rows)
    (tmp_path / "a.dat").write_bytes(("user::item::time\n" + quoted).encode("utf-16"))
    for name, as_written in (("a", int), ("b", str)):
        mine = rows[name == "b" :: 2]
        lines = [
            json.dumps({"user": {"id": as_written(user)}, "item": item, "time": time})
            for user, item, time in mine
        ]
        (tmp_path / f"{name}.jsonl").write_text("\ufeff" + "\n".join(lines))
    found = {
        "csv": make_data(write_csv(tmp_path / "a.csv", [(str(u), i, t) for u, i, t in rows])),
        "dat": make_data(tmp_path / "a.dat", format=Csv("::")),
        "json": make_data(tmp_path / "*.jsonl", **NESTED),
        "parquet": make_data(tmp_path / "*.parquet", format=Parquet()),
    }
    prints = {
        name: fingerprint(dataset.build(data, tmp_path / "w")) for name, data in found.items()
    }
    assert set(prints.values()) == {prints["csv"]}, prints


def test_uuids_read_alike(tmp_path):
    ids = [uuid.UUID(int=7 << user) for user in range(6)]
    events = [(str(ids[user]), f"i{item}", time) for user, item, time in some()]
    _, items, times = (list(part) for part in zip(*events, strict=True))
    column = pa.array([uuid.UUID(one).bytes for one, _, _ in events], pa.uuid())
    table = pa.table({"user": column, "item": items, "time": times})
    pq.write_table(table, tmp_path / "a.parquet")
    written = read(write_csv(tmp_path / "a.csv", events))
    assert read(tmp_path / "a.parquet", format=Parquet()) == written


# ---------------------------------------------------------------------------------------- times


def test_the_same_times_in_every_form(tmp_path):
    rows = some()
    stamps = [datetime.datetime.fromtimestamp(time, datetime.UTC) for _, _, time in rows]
    berlin = datetime.timezone(datetime.timedelta(hours=2))
    forms: dict[str, Any] = {
        "s": lambda stamp: int(stamp.timestamp()),
        "float": lambda stamp: f"{stamp.timestamp()}",
        "ms": lambda stamp: int(stamp.timestamp()) * 10**3,
        "us": lambda stamp: int(stamp.timestamp()) * 10**6,
        "ns": lambda stamp: int(stamp.timestamp()) * 10**9,
        "Z": lambda stamp: stamp.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "naive": lambda stamp: stamp.strftime("%Y-%m-%d %H:%M"),
        "basic": lambda stamp: stamp.strftime("%Y%m%dT%H%M%SZ"),
        "offset": lambda stamp: stamp.astimezone(berlin).isoformat(),
        "%d/%m/%Y %H:%M": lambda stamp: stamp.strftime("%d/%m/%Y %H:%M"),
    }
    expected = [(f"u{user}", f"i{item}", time * 10**6) for user, item, time in rows]
    for name, form in forms.items():
        times = map(form, stamps)
        events: Any = [
            (user, item, time) for (user, item, _), time in zip(expected, times, strict=True)
        ]
        path = write_csv(tmp_path / f"{name[0]}.csv", events)
        columns = Columns(time_unit=name if "%" in name else "auto")
        assert read(path, columns=columns) == expected, name
        pl.read_csv(path).write_parquet(tmp_path / "a.parquet")
        assert read(tmp_path / "a.parquet", format=Parquet(), columns=columns) == expected, name
        pl.read_csv(path).write_ndjson(tmp_path / "a.jsonl")
        assert read(tmp_path / "a.jsonl", format=JsonLines(), columns=columns) == expected, name
    users, items, _ = (list(part) for part in zip(*expected, strict=True))
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "Asia/Tokyo"):
            typed = pa.array([stamp.replace(tzinfo=None) for stamp in stamps], pa.timestamp(unit))
            table = pa.table(
                {"user": users, "item": items, "time": typed.cast(pa.timestamp(unit, zone))}
            )
            pq.write_table(table, tmp_path / "a.parquet", store_schema=unit != "s")
            assert read(tmp_path / "a.parquet", format=Parquet()) == expected


def test_the_report_says_how_times_were_read(tmp_path):
    events: Any = [
        (f"u{u}", f"i{i}", f"2016-05-01 10:{at:02}") for at, (u, i, _) in enumerate(some())
    ]
    lines = told(dataset.build(make_data(write_csv(tmp_path / "a.csv", events)), tmp_path / "w"))
    assert (
        "first       2016-05-01 10:00:00  time of the first event (UTC); times read as ISO 8601"
        in lines
    )
    assert "last        2016-05-01 10:59:00  time of the last event" in lines
    assert "notice                    60  time without a time zone: read as UTC" in lines


def test_units_that_are_mixed_are_rejected_with_the_reason(tmp_path, caplog):
    caplog.set_level(logging.INFO, "podway.beam.dataset")
    events = [(f"u{user}", f"i{item}", time * 1000) for user, item, time in some()]
    write_csv(tmp_path / "a.csv", events)
    write_csv(tmp_path / "b.csv", [("u0", "i0", START), ("u1", "i1", START * 1000)])
    directory = dataset.build(make_data(tmp_path / "*.csv", max_rejected=0.1), tmp_path / "w")
    assert report_of(directory)["rejected"] == {"time looks like seconds, not milliseconds": 1}
    assert "data: time is read as milliseconds; data.columns.time_unit declares it" in caplog.text


def test_an_extension_reads_times_as_its_base_did(tmp_path):
    place = Workplace(tmp_path, max_rejected=0.7)
    place.add("1.csv", [(f"u{user}", f"i{item}", time * 1000) for user, item, time in some()])
    place.build()
    # By itself this file would be in seconds.
    new = [("u0", "i0", START), ("u0", "i1", 5), ("u0", "i2", START * 1000 + 10**7)]
    place.add("2.csv", new)
    directory = place.extend()
    assert report_of(directory)["rejected"] == {"time looks like seconds, not milliseconds": 2}
    assert report_of(directory)["last"] == (START * 1000 + 10**7) * 1000
    recognised = artifact.read(directory, "dataset").details["recognised"]
    assert recognised == [{"units": {"time": "ms"}, "quotes_are_text": False}]


def test_features_of_time_and_truth_values(tmp_path):
    rows = [
        ("u", f"i{at}", START + at, "2016-05-01T06:00:00Z", ("true", "False")[at % 2])
        for at in range(4)
    ]
    lines = [",".join(map(str, row)) for row in rows]
    (tmp_path / "a.csv").write_text("user,item,time,at,liked\n" + "\n".join(lines))
    features = (Cyclical("at"), Numeric("liked", scale="none"))
    directory = dataset.build(make_data(tmp_path / "a.csv", features=features), tmp_path / "w")
    (row,) = rows_of(directory, "test")
    assert row["at"] == [pytest.approx([1, 0], abs=1e-6)] * 3
    assert row["liked"] == [1, 0, 1]


# --------------------------------------------------------------------------------------- quotes


def test_a_stray_quote_swallows_nothing(tmp_path):
    titles = [f"t{at}" for at in range(60)]
    titles[5], titles[17] = '"Heroes', 'The "Best"'
    rows = [f"u{u}\ti{i}\t{t}\t{title}" for (u, i, t), title in zip(some(), titles, strict=True)]
    path = tmp_path / "a.tsv"
    path.write_text("user\titem\ttime\ttitle\n" + "\n".join(rows) + "\n")
    workdir, format = tmp_path / "w", Csv("\t")
    directory = dataset.build(make_data(path, format=format), workdir)
    assert (report_of(directory)["rows"], report_of(directory)["kept"]) == (60, 60)
    assert artifact.read(directory, "dataset").details["recognised"][0]["quotes_are_text"]
    message = r"row 6, line 7 swallows 12 lines, and text follows .* --data\.format\.quote none"
    with pytest.raises(DataError, match=message):
        dataset.build(make_data(path, format=Csv("\t", quote='"')), workdir)
    # Where the file uses quotes, it is not known what is meant.
    with path.open("a") as file:
        file.writelines(f'"u{at}"\t"i0"\t{START + at}\t"x"\n' for at in range(9))
    with pytest.raises(DataError, match=message):
        dataset.build(make_data(path, format=format), workdir)


# ---------------------------------------------------------------------------------- side tables


def _with_table(tmp_path, rows: list[str], **fields) -> Data:
    (tmp_path / "items.tsv").write_text("item\tgenre\n" + "".join(f"{row}\n" for row in rows))
    events = [(f"u{user}", f"i{item}", time) for user, item, time in some()]
    kinds = {"features": (Categorical("genre"),), "format": Csv("\t")}
    table = SideTable("item", str(tmp_path / "items.tsv"), "item", **{**kinds, **fields})
    return make_data(write_csv(tmp_path / "a.csv", events), tables=(table,))


def test_a_side_table_whose_rows_are_all_rejected(tmp_path):
    data = _with_table(tmp_path, [f"i{at}\tdrama\t" for at in range(5)])
    message = (
        r"5 of 5 rows of .*items\.tsv were rejected \(wrong number of fields: 5\).*row 1.*row 2"
    )
    with pytest.raises(DataError, match=message):
        dataset.build(data, tmp_path / "w")
    assert no_dataset(tmp_path / "w")
    shown = rejected.show(dataset.directory(data, tmp_path / "w"), samples=1, reason=None)
    assert "5 rows, 0 kept, 5 rejected" in shown


@pytest.mark.parametrize("catalogue", [False, True])
def test_a_side_table_of_other_keys(tmp_path, catalogue):
    data = _with_table(tmp_path, [f"{at}.0\tdrama" for at in range(5)], catalogue=catalogue)
    message = (
        r"none of the 5 keys of the item table .*, such as '0\.0', is an item .* such as 'i\d'"
    )
    with pytest.raises(DataError, match=message):
        dataset.build(data, tmp_path / "w")
    # One that matches is enough.
    data = _with_table(
        tmp_path, [*(f"{at}.0\tdrama" for at in range(5)), "i3\tx"], catalogue=catalogue
    )
    (table,) = artifact.read(dataset.build(data, tmp_path / "w"), "dataset").details["tables"]
    assert (table["keys"], table["matched"]) == (6, 1)


def test_a_side_table_without_rows(tmp_path):
    with pytest.raises(DataError, match=r"item table .*items\.tsv' of data.tables\[0\] has no row"):
        dataset.build(_with_table(tmp_path, []), tmp_path / "w")


# --------------------------------------------------------------------------------------- copies


def test_a_file_under_two_names_is_refused(tmp_path):
    events = [(f"u{user}", f"i{item}", time) for user, item, time in some()]
    content = write_csv(tmp_path / "a.csv", events).read_bytes()
    data = make_data(tmp_path / "*")
    for name, copy in (("b.csv", content), ("a.csv.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(copy)
        with pytest.raises(DataError, match=rf"a\.csv and .*{name} have the same content.*twice"):
            dataset.build(data, tmp_path / "w")
        dropped = make_data(tmp_path / "*", duplicates="drop")
        assert report_of(dataset.build(dropped, tmp_path / "v"))["kept"] == 60
        (tmp_path / name).unlink()
    # Files without rows are alike, as Spark writes them.
    for name in ("c.csv", "d.csv"):
        (tmp_path / name).write_text("user,item,time\n")
        (tmp_path / f"{name}.empty").write_text("")
    assert report_of(dataset.build(data, tmp_path / "v"))["kept"] == 60


def test_a_copy_is_refused_in_an_extension(tmp_path):
    place = Workplace(tmp_path)
    events = [(f"u{user}", f"i{item}", time) for user, item, time in some()]
    place.add("1.csv", events)
    place.build()
    place.add("2.csv", events)
    with pytest.raises(DataError, match=r"1\.csv and .*2\.csv have the same content"):
        place.extend()


# --------------------------------------------------------------------------------------- report


def test_the_report_says_what_looks_odd(tmp_path):
    ways = ["Foo", "foo ", "FOO", "bar"]
    events = [("big", ways[at % 4], START + at) for at in range(40)]
    events += [(f"u{at}", "bar", START + at) for at in range(10)]
    events += [("u1", item, START + at) for at, item in enumerate(["NULL", "x", "y"])]
    lines = "".join(f'{user},{item},{time},"a\nb"\n' for user, item, time in events)
    (tmp_path / "a.csv").write_text("user,item,time,text\n" + lines)
    features = (Categorical("kind", column="item"),)
    directory = dataset.build(make_data(tmp_path / "a.csv", features=features), tmp_path / "w")
    report = report_of(directory)
    assert report["largest"]["user"] == ["big", pytest.approx(38 / 49)]
    assert report["largest"]["item"] == ["bar", pytest.approx(18 / 49)]
    assert (report["first"], report["last"]) == (START * 10**6, (START + 39) * 10**6)
    expected = {"groups": 1, "values": 3, "examples": [["Foo", "foo ", "FOO"]]}
    assert report["alike"].keys() == {"item", "kind"}
    for found in report["alike"].values():
        assert {**found, "examples": [sorted(one) for one in found["examples"]]} == {
            **expected, "examples": [["FOO", "Foo", "foo "]]
        }  # fmt: skip
    assert report["notices"] == {"values over 2 to 9 lines": 53}
    assert report["placeholders"] == {"item": {"NULL": 1}}
    lines = told(directory)
    assert "placeholder                1  train events of the item 'NULL': a missing one?" in lines
    assert "notice                    53  values over 2 to 9 lines" in lines
    assert "top user              77.55%  of the train events are of the user 'big'" in lines
    assert "alike                      3  values of item look like 1, such as " in lines
    page = (directory / "statistics.html").read_text()
    assert "2016-05-01" in page
    assert "values over 2 to 9 lines" in page
    assert "look like" in page


def test_an_extension_reports_of_the_whole(tmp_path):
    place = Workplace(tmp_path)
    place.add("1.csv", [(f"u{user}", f"i{item}", "2016-05-01") for user, item, _ in some()])  # pyright: ignore[reportArgumentType]
    place.build()
    place.add("2.csv", [("u0", "I0", "2016-05-02 10:00")])  # pyright: ignore[reportArgumentType]
    found, whole = report_of(place.extend()), report_of(place.rebuild())
    assert found["notices"] == whole["notices"] == {"time without a time zone: read as UTC": 61}
    assert (found["first"], found["last"]) == (whole["first"], whole["last"])
