"""Events that know their id: what was delivered twice counts once, wherever it lies."""

import dataclasses
import json
import pathlib
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from podway.beam import overview
from podway.beam.error import DataError
from podway.framework import artifact
from podway.framework.config import Columns, Csv, JsonLines, Parquet, RandomSplit, RowExamples
from podway.framework.config.features import Numeric
from tests.beam.conftest import report_of, rows_of, some_events
from tests.beam.extending import Workplace, same

Row = dict[str, object]


def rows(count: int = 300) -> list[Row]:
    """Events with ids, many alike in all else."""
    return [
        {"id": f"e{at}", "user": user, "item": item, "time": time}
        for at, (user, item, time) in enumerate(some_events(count))
    ]


def write(path: pathlib.Path, events: list[Row]) -> None:
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(events), path)
        case ".jsonl":
            path.write_text("".join(f"{json.dumps(event)}\n" for event in events))
        case ".csv":
            lines = [",".join(map(str, event.values())) for event in events]
            path.write_text("\n".join([",".join(events[0]), *lines]) + "\n")


def place(folder: pathlib.Path, suffix: str = ".parquet", **fields) -> Workplace:
    found = Workplace(folder, **{"columns": Columns(id="id"), **fields})
    formats = {".parquet": Parquet(), ".jsonl": JsonLines(), ".csv": Csv()}
    path = str(found.raw / f"*{suffix}")
    found.data = dataclasses.replace(found.data, path=path, format=formats[suffix])
    return found


def fingerprint(directory) -> str:
    return overview.fingerprint(artifact.read(directory, "dataset"))


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
@pytest.mark.parametrize(("most", "files"), [(None, 7), (4, 2)])
def test_pieces_in_another_order_with_repeats_are_the_whole_once(tmp_path, suffix, most, files):
    for name in ("once", "pieces"):
        (tmp_path / name).mkdir()
    once = place(tmp_path / "once", suffix, max_user_events=most)
    pieces = place(tmp_path / "pieces", suffix, max_user_events=most)
    events, generator = rows(), random.Random(3)
    write(once.raw / f"all{suffix}", events)
    again = events + generator.sample(events, 120)
    generator.shuffle(again)
    for at in range(files):
        write(pieces.raw / f"{at}{suffix}", again[at::files])
    whole, parts = once.build(), pieces.build()
    assert fingerprint(parts) == fingerprint(whole)
    report = report_of(parts)
    assert (report["rows"], report["kept"]) == (420, report_of(whole)["kept"])
    if most is None:
        assert report["filtered"]["duplicate"] == 120
    assert report_of(whole)["filtered"]["duplicate"] == 0  # alike, and with ids of their own


def test_an_extension_knows_the_ids_of_its_base(tmp_path):
    growing = place(tmp_path)
    events = rows()
    write(growing.raw / "1.parquet", events[:200])
    growing.build()
    write(growing.raw / "2.parquet", [*events[150:], *events[:3]])
    extended = growing.extend()
    assert report_of(extended)["filtered"]["duplicate"] == 53
    assert report_of(extended)["kept"] == 300
    same(extended, growing.rebuild())


def test_of_one_id_the_first_event_counts_wherever_it_lies(tmp_path):
    """A sender that uses an id twice is judged by the events, not by the order of files."""
    found = []
    for name, order in (("a", (0, 1)), ("b", (1, 0))):
        (tmp_path / name).mkdir()
        here = place(tmp_path / name, shards=1)
        twice = [
            {"id": "x", "user": "u", "item": "late", "time": 9},
            {"id": "x", "user": "u", "item": "early", "time": 1},
        ]
        more = [{"id": f"{at}", "user": "u", "item": f"i{at}", "time": 10 + at} for at in range(3)]
        for at, index in enumerate(order):
            write(here.raw / f"{at}.parquet", [twice[index]])
        write(here.raw / "more.parquet", [*more, {**more[0], "user": "v"}])
        found.append(here.build())
    assert fingerprint(found[0]) == fingerprint(found[1])
    histories = {row["user"]: row["item"] for row in rows_of(found[0], "test")}
    assert histories["u"][0] == "early"
    assert report_of(found[0])["kept"] == 5  # an id is of one user: v's event is another one


def test_without_users_ids_alone_say_what_is_twice(tmp_path):
    here = place(
        tmp_path,
        columns=Columns(user=None, item=None, time=None, id="id"),
        examples=RowExamples(),
        split=RandomSplit(),
        features=(Numeric("value"),),
    )
    events: list[Row] = [{"id": at, "value": at % 3} for at in range(90)]
    write(here.raw / "1.parquet", events[:60])
    write(here.raw / "2.parquet", events[30:])
    report = report_of(here.build())
    assert (report["kept"], report["filtered"]["duplicate"]) == (90, 30)


def test_an_event_without_an_id_is_rejected_and_a_missing_column_named(tmp_path):
    here = place(tmp_path, ".jsonl", max_rejected=0.5)
    events = rows(40)
    write(here.raw / "1.jsonl", [*events, {**events[0], "id": ""}, {**events[1], "id": None}])
    assert report_of(here.build())["rejected"] == {"missing event id": 2}
    here.data = dataclasses.replace(here.data, columns=Columns(id="key"))
    with pytest.raises(DataError, match=r"no column 'key'; set data\.columns\.id to one of"):
        here.build()
