"""What is wrong with raw data, each kind of it in each format: rejected, counted, named."""

import collections
import gzip
import io
import json
import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from etils import epath

from podway.beam import dataset, rejected
from podway.beam.error import DataError
from podway.framework import artifact
from podway.framework.config import Csv, JsonLines, Parquet
from podway.framework.schema.schema import Vocabulary
from tests.beam.conftest import make_data, no_dataset, report_of

CSV, JSONL, PARQUET = Csv(), JsonLines(), Parquet()
SUFFIX = {CSV: "csv", JSONL: "jsonl", PARQUET: "parquet"}
START = 1_500_000_000
GOOD = [(f"u{at % 4}", f"i{at % 5}", START + at) for at in range(20)]
FUTURE = 4_000_000_000


def lines(rows: list[Any], format: Any) -> list[bytes]:
    """Good rows, each as a line; text and bytes are lines already."""
    out = []
    for row in rows:
        if isinstance(row, tuple):
            names = dict(zip(("user", "item", "time"), row, strict=True))
            row = json.dumps(names) if format == JSONL else ",".join(map(str, row))
        out.append(row if isinstance(row, bytes) else row.encode())
    return out


def content(rows: list[Any], format: Any) -> bytes:
    head = [b"user,item,time"] if format == CSV else []
    return b"\n".join([*head, *lines(rows, format)]) + b"\n"


def parquet(rows: list[tuple], types: tuple = ("string", "string", "int64")) -> bytes:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, type) for column, type in zip(columns, types, strict=True)]
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays, ["user", "item", "time"]), sink)
    return sink.getvalue()


FIELDS = "wrong number of fields"
CSV_ROWS = {
    # Row → reason; None: the row is fine.
    b"u0,\xff,%d" % START: "invalid UTF-8",
    "u0,i0": FIELDS,
    f"u0,i0,{START},5": FIELDS,
    f'"u0","i\n0",{START}': None,
    f'u0,"i\r\n",{START}': None,
    '"u0","i\n0"': "wrong number of fields, in a quote over several lines",
    "u0,i0,noon": "time is not a number",
    "u0,i0,": "missing time",
    ",i0,5": "missing user",
    "u0,,5": "missing item",
    "u0,i0,1500000000000": "time looks like milliseconds, not seconds",
    f"u0,i0,{FUTURE}": "time is in the future",
    f"u0,i\0,{START}": "null byte in item",
    f"\0,i0,{START}": "null byte in user",
    "u0,i0,5\0": "time is not a number",
}
CSV_FALLBACK = {b"u0,\xff": FIELDS, "u0": FIELDS, f"ü,i,{START}": None}
JSON_ROWS = {
    b'{"user": "\xff", "item": "i", "time": 5}': "invalid UTF-8",
    '{"user": "\\ud800", "item": "i", "time": 5}': "invalid UTF-8",
    '{"user": "u0", "item": "i0"}': "missing time",
    '{"user": null, "item": "i", "time": 5}': "missing user",
    '{"user": "u0", "item"': "invalid JSON",
    '["u0", "i0", 5]': "not a JSON object",
    f'{{"user": "u\\n", "item": "i", "time": {START}}}': None,
    '{"user": true, "item": "i", "time": 5}': "user is neither text nor a number",
    '{"user": "u", "item": ["i"], "time": 5}': "item is neither text nor a number",
    '{"user": "u", "item": 0.5, "time": 5}': "item is not a whole number",
    '{"user": "u", "item": "i", "time": "noon"}': "time is not a number",
    '{"user": "u", "item": "i", "time": {}}': "time is neither text nor a number",
    f'{{"user": "u", "item": "i", "time": {FUTURE}.5}}': "time is in the future",
    '{"user": "u\\u0000", "item": "i", "time": 5}': "null byte in user",
    b'{"user": "u\0", "item": "i", "time": 5}': "invalid JSON",
}
PARQUETS = [
    # Types of user, item and time, then (row, reason).
    (
        ("string", "string", "int64"),
        [
            ((None, "i", 5), "missing user"),
            (("u", "", 5), "missing item"),
            (("u", "i", None), "missing time"),
        ],
    ),
    (
        ("double", "double", "double"),
        [
            ((0.5, 1, 5), "user is not a whole number"),
            ((1, float("nan"), 5), "missing item"),
            ((1, 1, float("inf")), "time is not a number"),
            ((1, 1, 1e12), "time looks like milliseconds, not seconds"),
        ],
    ),
    (
        ("binary", "binary", "binary"),
        [
            ((b"\xff", b"i", b"5"), "invalid UTF-8"),
            ((b"u", b"\0", b"5"), "null byte in item"),
            ((b"u", b"i", b"noon"), "time is not a number"),
        ],
    ),
    (
        ("string", "large_string", pa.timestamp("ms", "UTC")),
        [
            (("u", "i", FUTURE * 1000), "time is in the future"),
            (("u\0", "i", START * 1000), "null byte in user"),
            (("u\n", "i", START * 1000), None),
        ],
    ),
]


Bad = list[tuple[bytes, list[str | None]]]
"""Content of files, and the reason why each of their rows is rejected, if it is."""


def _check(build, folder: pathlib.Path, format: Any, bad: Bad, **more) -> epath.Path:
    """Builds from a good file, bad ones and an empty one; the letters and counts must be right."""
    good = parquet(GOOD) if format == PARQUET else content(GOOD, format)
    files = [(good, [None] * len(GOOD)), *bad, (b"", [])]
    expected = []
    for number, (data, reasons) in enumerate(files):
        path = folder / f"{number}.{SUFFIX[format]}"
        path.write_bytes(data)
        rows = enumerate(reasons, 1)
        expected += [(str(path), row, reason) for row, reason in rows if reason is not None]
    directory = build(folder / f"*.{SUFFIX[format]}", format=format, max_rejected=0.9, **more)

    letters = rejected.read(directory / "rejected")
    assert [(letter["file"], letter["row"], letter["reason"]) for letter in letters] == expected
    report = report_of(directory)
    assert report["rows"] == sum(len(reasons) for _, reasons in files)
    counts = collections.Counter(reason for *_, reason in expected)
    assert report["rejected"] == dict(counts)
    filtered = sum(report["filtered"].values())
    assert report["rows"] == report["kept"] + filtered + counts.total()
    shown = rejected.show(directory, samples=9, reason=None)
    for file, row, reason in expected:
        assert f"\n  {file}, row {row}, {reason}: " in shown
    return directory


def _lines(rows: dict[Any, str | None], format: Any) -> tuple[bytes, list[str | None]]:
    """Between good ones, so that the numbers of rows are seen to be right."""
    return content([*GOOD[:2], *rows, GOOD[2]], format), [None, None, *rows.values(), None]


# Arrow tells it on its way to the parser that knows every byte.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_bad_rows_of_csv(tmp_path, build):
    bad = [_lines(rows, CSV) for rows in (CSV_ROWS, CSV_FALLBACK)]
    directory = _check(build, tmp_path, CSV, bad)
    items = Vocabulary.read(directory / "vocabulary" / "item.jsonl").values
    assert {"i\n0", "i\r\n"} <= set(items)


def test_bad_rows_of_json_lines(tmp_path, build):
    directory = _check(build, tmp_path, JSONL, [_lines(JSON_ROWS, JSONL)])
    assert "u\n" in Vocabulary.read(directory / "vocabulary" / "user.jsonl").values


def test_bad_rows_of_parquet(tmp_path, build):
    bad = [
        (parquet([row for row, _ in rows], types), [reason for _, reason in rows])
        for types, rows in PARQUETS
    ]
    _check(build, tmp_path, PARQUET, bad)


@pytest.mark.parametrize("format", SUFFIX)
def test_duplicate_events_are_filtered_and_counted(tmp_path, build, format):
    twice = [*GOOD, GOOD[0], ("u0", "i0", START + 1), GOOD[0]]
    bad = parquet(twice) if format == PARQUET else content(twice, format)
    directory = _check(build, tmp_path, format, [(bad, [None] * len(twice))], duplicates="drop")
    report = report_of(directory)
    assert report["filtered"]["duplicate"] == len(GOOD) + 2
    assert report["kept"] == len(GOOD) + 1


def test_another_type_of_column_is_the_same_value(tmp_path, build):
    rows = [(at % 3, at % 5, START + at) for at in range(12)]
    stamps = [(user, item, time * 1_000_000) for user, item, time in rows]
    (tmp_path / "a.parquet").write_bytes(parquet(rows, ("int32", "double", "int64")))
    other = ("uint8", "int64", pa.timestamp("us"))
    (tmp_path / "b.parquet").write_bytes(parquet(stamps, other))
    directory = build(tmp_path / "*.parquet", format=PARQUET)
    report = report_of(directory)
    assert (report["kept"], report["users"], report["repeated_events"]) == (24, 3, 12)


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


BROKEN = {
    # Format, name and content of the second file, and what is said of it.
    "truncated gz, CSV": (
        CSV,
        "b.csv.gz",
        _cut(gzip.compress(content(GOOD, CSV))),
        "cannot be read as CSV .*Truncated",
    ),
    "truncated gz, JSON": (
        JSONL,
        "b.jsonl.gz",
        _cut(gzip.compress(content(GOOD, JSONL))),
        "cannot be read as JSON lines: Truncated",
    ),
    "no gz": (
        JSONL,
        "b.jsonl.gz",
        content(GOOD[1:], JSONL),
        "cannot be read as JSON lines: .*header",
    ),
    "truncated Parquet": (PARQUET, "b.parquet", _cut(parquet(GOOD)), "cannot be read as Parquet"),
    "no Parquet": (PARQUET, "b.parquet", content(GOOD, CSV), "cannot be read as Parquet"),
    "another column, CSV": (CSV, "b.csv", b"user,kind,time\nu,i,5\n", "has no column 'item'"),
    "another column, JSON": (
        JSONL,
        "b.jsonl",
        b'{"user": "u", "kind": "i", "time": 5}\n',
        "has no column 'item'",
    ),
    "another column, Parquet": (
        PARQUET,
        "b.parquet",
        parquet(GOOD).replace(b"item", b"kind"),
        "has no column 'item'",
    ),
    "another type": (
        PARQUET,
        "b.parquet",
        parquet([("u", True, 5)], ("string", "bool", "int64")),
        r"the column of data\.columns\.item holds bool",
    ),
    "a quote never closed": (
        CSV,
        "b.csv",
        content([*GOOD, 'u,"i,5'], CSV),
        "a quote that opens in row 21",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_among_good_ones_fails_the_job_by_its_name(tmp_path, kind):
    format, name, data, message = BROKEN[kind]
    good = parquet(GOOD) if format == PARQUET else content(GOOD, format)
    (tmp_path / f"a.{SUFFIX[format]}").write_bytes(good)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=f"{name}:? {message}"):
        dataset.build(make_data(tmp_path / "?.*", format=format), tmp_path / "w")
    assert not list((tmp_path / "w").glob("datasets/*/*"))


@pytest.mark.parametrize("format", SUFFIX)
def test_only_empty_files(tmp_path, format):
    for name in "ab":
        (tmp_path / f"{name}.{SUFFIX[format]}").write_bytes(b"")
    with pytest.raises(DataError, match="there is no row of data in it"):
        dataset.build(make_data(tmp_path / "?.*", format=format), tmp_path / "w")
    assert no_dataset(tmp_path / "w")


def test_too_many_fail_the_job_and_are_kept(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(content([*GOOD, "u,i", "v,j"], CSV))
    data, workdir = make_data(path, max_rejected=0.05), tmp_path / "w"
    with pytest.raises(DataError, match=r"2 of 22 .*row 21, .*: \"u,i\"; .*row 22") as caught:
        dataset.build(data, workdir)
    target = dataset.directory(data, workdir)
    (left,) = target.parent.iterdir()
    assert str(left) in str(caught.value)
    shown = rejected.show(target, samples=1, reason="fields")
    assert "22 rows" in shown
    assert shown.endswith(
        f'wrong number of fields: 2\n  {path}, row 21, wrong number of fields: "u,i"'
    )
    # As many as are allowed are no failure.
    allowed = dataset.build(make_data(path, max_rejected=2 / 22), workdir)
    assert artifact.read(allowed, "dataset").details["report"]["rejected"] == {
        "wrong number of fields": 2
    }
