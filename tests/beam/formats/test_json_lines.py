import gzip

import pytest

from podway.beam.error import DataError
from podway.beam.formats import json_lines
from podway.framework.config import JsonLines

ROLES = {"user": "user", "item": "item", "time": "time"}
LINES = [
    b'{"user": 1, "item": "a", "time": 5, "more": [1]}',
    b"",
    b'{"user": "1", "item": 2.0, "time": "6.5"}',
    b'{"user": 1.5, "item": "a", "time": 5}',
    b'{"user": true, "item": "a", "time": 5}',
    b'{"user": 1, "item": "\xff", "time": 5}',
    b'{"user": 1, "item": "\\ud800", "time": 5}',
    b"[1, 2, 3]",
    b'{"user": 1, "item": ',
    b'{"user": null, "time": NaN}',
    b'{"user": "\xc3\xbc", "item": 12345678901234567890, "time": 1e3}',
]
BAD = [
    (3, "user is not a whole number"),
    (4, "user is neither text nor a number"),
    (5, "invalid UTF-8"),
    (6, "invalid UTF-8"),
    (7, "not a JSON object"),
    (8, "invalid JSON"),
]


@pytest.mark.parametrize("block", [1 << 20, 50])
def test_good_and_bad_lines(tmp_path, monkeypatch, block):
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", block)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(LINES)))
    batches = list(json_lines.read(str(path), JsonLines(), ROLES))
    columns = {
        role: [value for rows in batches for value in rows.columns[role].to_pylist()]
        for role in ("user", "item", "time")
    }
    assert columns["user"] == ["1", "1", None, "ü"]
    assert columns["item"] == ["a", "2", None, "12345678901234567890"]
    assert columns["time"] == ["5", "6.5", None, "1000"]
    assert [number for rows in batches for number in rows.numbers.tolist()] == [1, 2, 9, 10]
    rejected = [row for rows in batches for row in rows.rejected]
    assert [(row.row, row.reason) for row in rejected] == BAD
    assert rejected[-1].raw == '{"user": 1, "item": '
    raw = [rows.raw(at) for rows in batches for at in range(len(rows.numbers))]
    assert raw == [LINES[at].decode() for at in (0, 2, 9, 10)]


def test_a_column_that_no_row_has(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"user": 1, "movie": 2, "time": 3}\n' * 3)
    with pytest.raises(DataError, match=r"a.jsonl has no column 'item'; .*'movie', 'time', 'user'"):
        list(json_lines.read(str(path), JsonLines(), ROLES))


def test_members_of_objects_inside(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [
        '{"user": {"id": 7, "name": "x"}, "item": "a", "time": 1, "tags": ["p", 2]}',
        '{"user": {"id": "8"}, "item.id": "b", "item": {"id": "c"}, "time": 2}',
        '{"user": "none", "item": {"id": null}, "time": 3}',
    ]
    path.write_bytes(b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode())
    roles = {"user": "user.id", "item": "item.id", "time": "time", "tags": "tags"}
    batch, _ = json_lines.read(str(path), JsonLines(), roles)
    assert batch.columns["user"].to_pylist() == ["7", "8", None]
    assert batch.columns["item"].to_pylist() == [None, "b", None]  # a name with a dot comes first
    assert batch.columns["tags"].to_pylist() == [["p", "2"], None, None]
    with pytest.raises(DataError, match=r"no column 'user.key'; .*'user', 'user.id', 'user.name'"):
        list(json_lines.read(str(path), JsonLines(), {**roles, "user": "user.key"}))


@pytest.mark.parametrize(
    "text", ['[{"user": 1}, {"user": 2}]', '[\n {"user": 1},\n {"user": 2}\n]']
)
def test_one_array_instead_of_lines(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a.json is one JSON array, .*jq -c"):
        list(json_lines.read(str(tmp_path / "a.json"), JsonLines(), ROLES))
