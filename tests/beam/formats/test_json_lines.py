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
