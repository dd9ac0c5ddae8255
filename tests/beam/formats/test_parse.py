import datetime

import numpy as np
import pyarrow as pa
import pytest

from podway.beam.error import DataError
from podway.beam.formats.checks import Checks, Notice
from podway.beam.formats.parse import parse, text
from podway.beam.formats.rows import RawBatch, Rejected
from podway.beam.formats.times import microseconds


def _failed(checks: Checks) -> Checks:
    return [(reason, mask) for reason, mask in checks if not isinstance(reason, Notice)]


def _reasons(checks: list[tuple[str, np.ndarray]]) -> dict[str, list[int]]:
    return {reason: np.flatnonzero(mask).tolist() for reason, mask in checks}


@pytest.mark.parametrize(
    "values",
    [
        pa.array([b"31", b"7", b""], pa.binary()),
        pa.array(["31", "7", None]),
        pa.array(["31", "7", ""], pa.large_string()),
        pa.array(["31", "7", None]).dictionary_encode(),
        pa.array([31, 7, None], pa.int64()),
        pa.array([31, 7, None], pa.uint8()),
        pa.array([31.0, 7.0, None], pa.float32()),
        pa.array([31.0, 7.0, float("nan")], pa.float64()),
    ],
)
def test_the_same_value_is_the_same_text_in_every_type(values):
    found, checks = text(values, "user", "f")
    is_dictionary = isinstance(values, pa.DictionaryArray)
    assert (found.type.value_type if is_dictionary else found.type) == pa.string()
    assert found.to_pylist()[:2] == ["31", "7"]
    assert _reasons(checks) == {"missing user": [2]}


def test_a_dictionary_is_checked_like_its_rows():
    rows = pa.array([b"a", b"\xff", b"", None, b"\xff", b"a"])
    _, plain = text(rows, "item", "f")
    found, checks = text(rows.dictionary_encode(), "item", "f")
    assert _reasons(checks) == _reasons(plain) == {"invalid UTF-8": [1, 4], "missing item": [2, 3]}
    assert found.to_pylist()[0::5] == ["a", "a"]


def test_bytes_that_are_no_utf8_and_floats_that_are_not_whole():
    _, checks = text(pa.array([b"a", b"\xff", "ü".encode(), "�".encode()]), "item", "f")
    assert _reasons(checks) == {"invalid UTF-8": [1]}
    _, checks = text(pa.array([0.5, 1.0, 1e300, float("inf"), -2.0]), "item", "f")
    assert _reasons(checks) == {"item is not a whole number": [0, 2, 3]}
    found, _ = text(pa.array([-2.0, 2.0**53]), "item", "f")
    assert found.to_pylist() == ["-2", "9007199254740992"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([b"1500000000", b"-1"], pa.binary()), [1_500_000_000_000_000, -1_000_000]),
        (pa.array(["1500000000.123456", " 2 "]), [1_500_000_000_123_456, 2_000_000]),
        (pa.array(["1.5e9", "0.0000014"]), [1_500_000_000_000_000, 1]),
        (pa.array([3, -4], pa.int32()), [3_000_000, -4_000_000]),
        (pa.array([3, 4], pa.uint64()), [3_000_000, 4_000_000]),
        (pa.array([1_500_000_000.123456, -0.25]), [1_500_000_000_123_456, -250_000]),
        (pa.array([1, 2], pa.timestamp("s")), [1_000_000, 2_000_000]),
        (pa.array([1999, 2000], pa.timestamp("ns", "Asia/Tokyo")), [1, 2]),
        (pa.array([datetime.date(1970, 1, 2)] * 2), [86_400_000_000] * 2),
        # Beside a fraction whole seconds go through float64 too, and must stay exact.
        (pa.array(["253402300799", "0.5"]), [253_402_300_799_000_000, 500_000]),
    ],
)
def test_times_by_hand(values, expected):
    found, checks = microseconds(values, "f")
    assert found.dtype == np.int64
    assert found.tolist() == expected
    assert not _failed(checks)


def test_times_that_are_none():
    _, checks = microseconds(pa.array([b"5", b"", b"noon", b"nan", b"inf", b"1e400", b"\xff"]), "f")
    assert _reasons(checks)["missing time"] == [1]
    assert _reasons(checks)["time is not a number"] == [2, 3, 4, 5, 6]
    assert _reasons(checks)["invalid UTF-8"] == [6]
    milliseconds = pa.array([1_500_000_000_000, 1_500_000_000, None])
    _, checks = microseconds(milliseconds, "f")
    assert _reasons(checks) == {
        "missing time": [2],
        "time is not in the years 1 to 9999, in seconds": [0],
    }


def test_types_that_hold_no_such_value():
    with pytest.raises(DataError, match=r"f: the column of data.columns.user holds bool"):
        text(pa.array([True]), "user", "f")
    with pytest.raises(DataError, match=r"data.columns.item holds list"):
        text(pa.array([[1]]), "item", "f")
    with pytest.raises(DataError, match=r"data.columns.time holds bool; give .* times"):
        microseconds(pa.array([True]), "f")


def test_text_with_a_null_byte():
    values = ["a", "b\0", "\0", None, "", "c"]
    for array in (pa.array(values), pa.array([v and v.encode() for v in values], pa.binary())):
        _, checks = text(array, "item", "f")
        assert _reasons(checks) == {"null byte in item": [1, 2], "missing item": [3, 4]}
        _, checks = text(array[:1], "item", "f")
        assert not checks


def test_times_after_the_latest():
    rows = RawBatch(
        columns={
            "user": pa.array(["u", "v", "w"]),
            "item": pa.array(["i", "j", "k"]),
            "time": pa.array([b"9", b"10", b"10.000001"]),
        },
        numbers=np.array([1, 2, 3]),
        raw=lambda at: f"raw {at}",
        rejected=[],
        fraction=1.0,
    )
    events, rejected, _ = parse(rows, "f", 0, latest=10_000_000)
    assert events["time"].to_pylist() == [9_000_000, 10_000_000]
    assert rejected == [Rejected(3, "time is in the future", "raw 2")]
    assert len(parse(rows, "f", 0)[0]) == 3


def test_each_bad_row_is_rejected_once_in_the_order_of_the_file():
    rows = RawBatch(
        columns={
            "user": pa.array(["u", "", "u", "u"]),
            "item": pa.array(["i", "", "", "i"]),
            "time": pa.array(["1", "x", "2", "x"]),
        },
        numbers=np.array([1, 2, 4, 5]),
        raw=lambda at: f"raw {at}",
        rejected=[Rejected(3, "wrong number of fields", "u")],
        fraction=1.0,
    )
    events, rejected, _ = parse(rows, "f", 0)
    assert events.to_pylist() == [{"user": "u", "item": "i", "time": 1_000_000}]
    assert rejected == [
        Rejected(2, "missing user", "raw 1"),
        Rejected(3, "wrong number of fields", "u"),
        Rejected(4, "missing item", "raw 2"),
        Rejected(5, "time is not a number", "raw 3"),
    ]


def test_without_a_clock_time_is_the_position():
    columns = {"user": pa.array(["u", "", "v"]), "item": pa.array(["i", "j", "k"])}
    rows = RawBatch(columns, np.array([3, 4, 5]), str, [], 1.0)
    events, _, _ = parse(rows, "f", 1000)
    assert events["time"].to_pylist() == [1003, 1005]
