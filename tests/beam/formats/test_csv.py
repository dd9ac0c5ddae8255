import gzip
import pathlib

import numpy as np
import pytest

from podway.beam.error import DataError
from podway.beam.formats import csv, csv_source
from podway.beam.formats.rows import Rejected
from podway.framework.config import Csv
from podway.framework.error import ConfigError

COMMA, COLUMNS = Csv(), {"user": "user", "item": "item", "time": "time"}


def _read(
    path: pathlib.Path, content: bytes, format: Csv = COMMA, columns: dict[str, str] = COLUMNS
):
    path.write_bytes(content)
    users, items, numbers, rejected = [], [], [], []
    for rows in csv.read(str(path), format, columns):
        users += rows.columns["user"].to_pylist()
        items += rows.columns["item"].to_pylist()
        numbers += rows.numbers.tolist()
        rejected += rows.rejected
        assert 0 <= rows.fraction <= 1
    return users, items, numbers, rejected


def test_quotes_delimiter_and_newlines_in_fields(tmp_path):
    content = b'\xef\xbb\xbfitem;x;user;time\r\n"a;""b""\nc";1;u;5\r\n\r\nd;2;v;6'
    users, items, numbers, rejected = _read(tmp_path / "a.csv", content, Csv(delimiter=";"))
    assert users == [b"u", b"v"]
    assert items == [b'a;"b"\nc', b"d"]
    assert numbers == [1, 2]  # neither the header nor the blank line is a row
    assert rejected == []


def test_names_instead_of_a_header(tmp_path):
    format = Csv(delimiter=" ", header=False, names=("user", "item"))
    users, _, numbers, rejected = _read(
        tmp_path / "a.txt", b"1 2\n3 4 5\n6 7\n", format, {"user": "user", "item": "item"}
    )
    assert users == [b"1", b"6"]
    assert numbers == [1, 3]
    assert rejected == [Rejected(2, "wrong number of fields", "3 4 5")]


@pytest.mark.parametrize("packed", [False, True])
def test_ragged_rows_keep_their_numbers_over_blocks(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(csv, "BLOCK_BYTES", 64)
    lines = [b"u,i,1" if row % 7 else b"u,%d" % row for row in range(1, 61)]
    content = b"user,item,time\n" + b"\n".join(lines)
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    _, _, numbers, rejected = _read(path, gzip.compress(content) if packed else content)
    assert numbers == [row for row in range(1, 61) if row % 7]
    assert [row.row for row in rejected] == [7, 14, 21, 28, 35, 42, 49, 56]
    assert rejected[1].raw == "u,14"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_ragged_row_that_is_no_utf8(tmp_path, monkeypatch):
    monkeypatch.setattr(csv, "BLOCK_BYTES", 64)
    lines = [b"\xc3\xbc%d,i,1" % row for row in range(1, 31)]
    lines[3], lines[19] = b"short", b"\xff"
    users, _, numbers, rejected = _read(
        tmp_path / "a.csv", b"\xef\xbb\xbfuser,item,time\n" + b"\n".join(lines)
    )
    assert users == [f"ü{row}".encode() for row in range(1, 31) if row not in (4, 20)]
    assert numbers == [row for row in range(1, 31) if row not in (4, 20)]
    assert [(row.row, row.raw) for row in rejected] == [(4, "short"), (20, "\\xff")]


def test_raw_rows_have_all_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"user,item,note,time\nu,i,\xff,1\nv,j,ok,2\n")
    (rows,) = csv.read(str(path), Csv(), {"user": "user", "item": "item", "time": "time"})
    assert rows.raw(0) == {"user": "u", "item": "i", "note": "\\xff", "time": "1"}
    assert rows.raw(1) == {"user": "v", "item": "j", "note": "ok", "time": "2"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"user,movie,time\n", r"a.csv has no column 'item'; set data.columns.item to one of"),
        (b"user,item,user,time\n", "more than one column 'user'"),
        (b"user,item\n", "no column 'time'"),
        (b"user,\xff\n", "a.csv cannot be read as CSV"),
    ],
)
def test_bad_headers(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        _read(tmp_path / "a.csv", content)


@pytest.mark.parametrize("format", [COMMA, Csv(header=False, names=("user", "item", "time"))])
@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf\n", b"\n" * 70_000])
def test_an_empty_file_has_no_rows(tmp_path, content, format):
    assert _read(tmp_path / "a.csv", content, format) == ([], [], [], [])
    assert _read(tmp_path / "a.csv.gz", gzip.compress(content), format) == ([], [], [], [])


def test_a_header_alone_has_no_rows(tmp_path):
    assert _read(tmp_path / "a.csv", b"user,item,time") == ([], [], [], [])


def test_an_open_quote_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(csv, "BLOCK_BYTES", 64)
    with pytest.raises(DataError, match="a quote never closed"):
        _read(tmp_path / "a.csv", b'user,item,time\n"u,i,1\n' + b"u,i,1\n" * 50)


@pytest.mark.parametrize("block", [64, 1 << 20])
@pytest.mark.parametrize(
    "opened", [b'u,i,"3', b'u,"i,3', b'"u,i,3', b'u,"i', b'u,\xff,"3', b'u,i,"3""', b'u,i,3\n"']
)
def test_an_open_quote_takes_no_rows_with_it(tmp_path, monkeypatch, block, opened):
    """Alone, the parser would make one value of it all, and the rows would be missing silently."""
    monkeypatch.setattr(csv, "BLOCK_BYTES", block)
    row = 3 + opened.count(b"\n")
    message = f"a quote that opens in row {row} is never closed|straddling object"
    for rest in (b"", b"\n", b"\nv,i,4\n", b"\nv,i,4"):
        with pytest.raises(DataError, match=message):
            _read(tmp_path / "a.csv", b"user,item,time\nu,i,1\nu,i,2\n" + opened + rest)


@pytest.mark.parametrize("block", [*range(30, 36), 1 << 20])
@pytest.mark.parametrize("last", [b'"u",i,"3"', b"u,i,3\n", b"u,i,3\r\n", b'u,i,"3\n"\n\n', b"u,i"])
def test_the_last_row_is_read_however_it_ends(tmp_path, monkeypatch, block, last):
    content = b"user,item,time\nu,i,1\n" + last
    for packed in (False, True):
        monkeypatch.setattr(csv, "BLOCK_BYTES", block)
        path = tmp_path / ("a.csv.gz" if packed else "a.csv")
        _, _, numbers, rejected = _read(path, gzip.compress(content) if packed else content)
        assert [*numbers, *(row.row for row in rejected)] == [1, 2]


def test_a_gzip_file_that_is_cut_short_or_none(tmp_path):
    content = gzip.compress(np.random.default_rng(0).bytes(10_000).hex().encode())
    with pytest.raises(DataError, match=r"a.csv.gz cannot be read as CSV"):
        _read(tmp_path / "a.csv.gz", b"user,item,time\n")
    format = Csv(header=False, names=("user", "item", "time"))
    with pytest.raises(DataError, match=r"a.csv.gz cannot be read as CSV"):
        _read(tmp_path / "a.csv.gz", content[:-200], format)


@pytest.mark.parametrize(
    "fields",
    [
        {"delimiter": "é"},
        {"delimiter": '"'},
        {"delimiter": "\n"},
        {"delimiter": ""},
        {"names": ("user",)},
        {"header": False},
        {"quote": "''"},
        {"quote": ","},
        {"escape": '"'},
        {"encoding": "utf-9"},
    ],
)
def test_formats_that_cannot_be(fields):
    with pytest.raises(ConfigError, match=r"data\.format"):
        Csv(**fields)


def rows_of(path, content: bytes, format: Csv, roles: dict[str, str], **more) -> list[tuple]:
    path.write_bytes(content)
    found = []
    for batch in csv.read(str(path), format, roles, **more):
        found += zip(*(batch.columns[role].to_pylist() for role in roles), strict=True)
        for row in batch.rejected:
            found.append((row.row, row.reason, row.raw))
    return found


@pytest.mark.parametrize("block", [16, 1 << 20])
@pytest.mark.parametrize("delimiter", ["::", "||", " | ", "\t\t"])
def test_delimiters_of_several_characters(tmp_path, monkeypatch, block, delimiter):
    monkeypatch.setattr(csv, "BLOCK_BYTES", max(block, 64))
    monkeypatch.setattr(csv_source, "_BLOCK", block)
    lines = [["user", "item", "more"], ["1", "a:b|c", ""], ["", "short"], ["2", '"x%y"', "é\x1f"]]
    content = "\n".join(delimiter.join(line) for line in lines).replace("%", delimiter).encode()
    roles = {"user": "user", "item": "item", "more": "more"}
    found = rows_of(
        tmp_path / "a.dat", content + b"\n3" + delimiter.encode() * 2, Csv(delimiter), roles
    )
    assert sorted(found, key=str) == sorted(
        [
            (b"1", b"a:b|c", b""),
            (2, "wrong number of fields", f"{delimiter}short"),
            (b"2", f"x{delimiter}y".encode(), b"\xc3\xa9\xff"),  # which no text has: rejected later
            (b"3", b"", b""),
        ],
        key=str,
    )


def test_a_delimiter_of_several_characters_is_the_leftmost_one(tmp_path):
    found = rows_of(tmp_path / "a", b"1:::x\n", Csv("::", False, ("a", "b")), {"a": "a", "b": "b"})
    assert found == [(b"1", b":x")]


def test_a_tab_as_it_is_typed():
    assert Csv(delimiter="\\t") == Csv(delimiter="\t")
    assert Csv(delimiter="\\x01").delimiter == "\x01"


@pytest.mark.parametrize("size", [7, 1 << 16])
def test_what_mysql_writes(tmp_path, monkeypatch, size):
    """SELECT … INTO OUTFILE: tabs, no quotes, a backslash before what is special, \\N for null."""
    monkeypatch.setattr(csv, "BLOCK_BYTES", 64)
    format = Csv("\t", False, ("user", "item", "time"), quote="none", escape="\\")
    content = b'1\ta\\\tb\t\\N\n2\tc\\\nd\t5\n\\N\t\\\\N "x"\t6\n'
    found = rows_of(tmp_path / "a.tsv", content, format, COLUMNS)
    assert found == [
        (b"1", b"a\tb", b""),
        (b"2", b"c\nd", b"5"),
        (b"", b'\\N "x"', b"6"),
    ]


def test_escaped_quotes(tmp_path):
    content = b'user,item,time\n"u","say \\"hi\\", x",5\n'
    assert rows_of(tmp_path / "a.csv", content, Csv(escape="\\"), COLUMNS) == [
        (b"u", b'say "hi", x', b"5")
    ]
    content = b"user,item,time\n'u','it''s, x',5\n"
    assert rows_of(tmp_path / "a.csv", content, Csv(quote="'"), COLUMNS) == [
        (b"u", b"it's, x", b"5")
    ]


def test_declared_nulls_and_decimal_commas(tmp_path):
    content = b"user;item;time;price\nNA;i;\\N;1,5\nnull;NA x;5;1.234\nu;i;6;-7\n"
    format = Csv(";", null=("", "NA", "\\N"), decimal=",")
    roles = {**COLUMNS, "price": "price"}
    assert rows_of(tmp_path / "a.csv", content, format, roles, numbers=["price"]) == [
        (None, b"i", None, b"1.5"),
        (b"null", b"NA x", b"5", b"1'234"),  # no number: its point divides thousands
        (b"u", b"i", b"6", b"-7"),
    ]


def test_another_delimiter_is_named(tmp_path):
    with pytest.raises(DataError, match=r"or is data.format.delimiter ';', not ','\?"):
        _read(tmp_path / "a.csv", b"user;item;time\nu;i;5\n")


@pytest.mark.parametrize("ends", [b"\r", b"\r\n"])
def test_other_ends_of_lines(tmp_path, ends):
    content = ends.join([b"user,item,time", b"u,i,1", b"", b"v,j,2"])
    users, _, numbers, _ = _read(tmp_path / "a.csv", content)
    assert (users, numbers) == ([b"u", b"v"], [1, 2])
