import datetime
import decimal
import math

import numpy as np
import pyarrow as pa
import pytest

from podway.beam.error import DataError
from podway.beam.features.fit import canonical
from podway.beam.formats.checks import Notice
from podway.framework.config.features import (
    Categorical,
    Cyclical,
    Hashed,
    Label,
    Numeric,
    Text,
    Transform,
)

NUMBER, TIME, TEXT = Numeric("price"), Cyclical("at"), Categorical("kind")
MANY = Categorical("tags", many=True)
UTC = datetime.UTC
MORNING = datetime.datetime(2024, 1, 31, 10, 0, 0, 5)
LARGEST = float(np.finfo(np.float32).max)


def values_of(column: pa.Array, transform: Transform) -> list:
    found, checks = canonical(column, transform, "file")
    assert not [reason for reason, _ in checks if not isinstance(reason, Notice)]
    return found.to_pylist()


def failing(column: pa.Array, transform: Transform) -> dict[str, list[int]]:
    found, checks = canonical(column, transform, "file")
    assert len(found) == len(column)
    return {reason: np.flatnonzero(mask).tolist() for reason, mask in checks}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["a", "", None, " "]), ["a", None, None, " "]),
        (pa.array([b"h\xc3\xa9", b"", None]), ["hé", None, None]),
        (pa.array(["a", "b", None, ""]).dictionary_encode(), ["a", "b", None, None]),
        (pa.array([None, None]), [None, None]),
        (pa.array([31, None, 2**63], pa.uint64()), ["31", None, str(2**63)]),
        (
            pa.array([31.0, 1.5, None, math.nan, -0.0, 1e20, 1e-7, math.inf]),
            ["31", "1.5", None, None, "0", "1e+20", "1e-07", "inf"],
        ),
        (pa.array([0.1, 31.0, None], pa.float32()), ["0.1", "31", None]),
        (
            pa.array([decimal.Decimal(x) for x in ("1.50", "31.00", "-100.00", "0.00")]),
            ["1.5", "31", "-100", "0"],
        ),
        (pa.array([True, False, None]), ["true", "false", None]),
        (pa.array([MORNING.date(), None]), ["2024-01-31", None]),
        (pa.array([MORNING], pa.timestamp("us")), ["2024-01-31 10:00:00.000005"]),
        (pa.array([MORNING], pa.timestamp("ns", "UTC")), ["2024-01-31 10:00:00.000005Z"]),
        (pa.array([], pa.string()), []),
    ],
)
def test_text_of_any_column(column, expected):
    assert canonical(column, TEXT, "file")[0].type == pa.string()
    assert values_of(column, TEXT) == values_of(column, Text("words")) == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (
            pa.array(["1", " 2.5 ", "", None, "nan", "-1e-3", "+3"]),
            [1, 2.5, None, None, None, np.float32(-1e-3), 3],
        ),
        (pa.array(["inf", "-1e400", "1e-45"]), [LARGEST, -LARGEST, 0]),
        (pa.array([b"7", None]), [7, None]),
        (pa.array([True, False, None]), [1, 0, None]),
        (pa.array([decimal.Decimal("1.50"), None]), [1.5, None]),
        (pa.array([16777217, None]), [16777216, None]),
        (pa.array([1.0, None, math.nan, 1e300]), [1, None, None, LARGEST]),
        (pa.array([0.1], pa.float16()), [np.float32(np.float16(0.1))]),
        (pa.array([1, 2, None]).dictionary_encode(), [1, 2, None]),
        (pa.array([None]), [None]),
    ],
)
def test_number_of_any_column(column, expected):
    assert canonical(column, NUMBER, "file")[0].type == pa.float32()
    assert values_of(column, NUMBER) == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["1", " 2.5 ", "", None]), [1_000_000, 2_500_000, None, None]),
        (pa.array([b"-1"]), [-1_000_000]),
        (pa.array([1.5, math.nan, None]), [1_500_000, None, None]),
        (pa.array([7, None]), [7_000_000, None]),
        (pa.array([decimal.Decimal("1.50"), None]), [1_500_000, None]),
        (pa.array([datetime.date(1970, 1, 2), None]), [86_400_000_000, None]),
        (pa.array([datetime.datetime(1970, 1, 1, 0, 0, 1), None]), [1_000_000, None]),
        (pa.array([None]), [None]),
    ],
)
def test_time_of_any_column(column, expected):
    assert canonical(column, TIME, "file")[0].type == pa.int64()
    assert values_of(column, TIME) == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([["a", "b"], [], None, ["", "c", None], [None]]), ["a|b", None, None, "c", None]),
        (pa.array([["a"], ["b", "c"]], pa.large_list(pa.string())), ["a", "b|c"]),
        (pa.array([["a", "b"], None], pa.list_(pa.string(), 2)), ["a|b", None]),
        (pa.array([["a", "b"], ["c"], None])[1:], ["c", None]),
        (pa.array([[1, 2], [3]]), ["1|2", "3"]),
        (pa.array([[1.5, 2.0], [None]]), ["1.5|2", None]),
        (pa.array(["a|b", "", None]), ["a|b", None, None]),
        (pa.array([], pa.list_(pa.string())), []),
    ],
)
def test_lists_are_joined_by_the_separator(column, expected):
    assert canonical(column, MANY, "file")[0].type == pa.string()
    assert values_of(column, MANY) == values_of(column, Hashed("tags", many=True)) == expected


def test_a_list_that_would_be_divided_otherwise_fails():
    lists = pa.array([["a|b"], ["a", "b"], None, ["|"], ["c", "d|"]])
    assert failing(lists, MANY) == {"a part of tags contains the separator '|'": [0, 3, 4]}
    lists = pa.array([["a", "b"], ["a|", "b"], ["a", "|b"], ["|", "|"]])
    wide = Categorical("tags", many=True, separator="||")
    # a|||b is divided into a and |b
    assert failing(lists, wide) == {"a part of tags contains the separator '||'": [1, 3]}
    bad = pa.array([[b"a"], [b"\xff", b"a"], None, [b"c", b"\xff"]])
    assert failing(bad, MANY) == {"invalid UTF-8 in tags": [1, 3]}


def test_reasons_name_the_feature():
    assert failing(pa.array([b"a", b"\xff"]), TEXT) == {"invalid UTF-8 in kind": [1]}
    assert failing(pa.array(["a", "b\0"]), TEXT) == {"null byte in kind": [1]}
    assert failing(pa.array(["1", "x", "1,5"]), NUMBER) == {"price is not a number": [1, 2]}
    assert failing(pa.array(["1", "x"]), TIME) == {"at is not a number": [1]}
    assert failing(pa.array([1, 10**12]), TIME) == {
        "at is not in the years 1 to 9999, in seconds": [1]
    }
    assert failing(pa.array(["1", "", "x", None]), Label("sold")) == {
        "sold is not a number": [2],
        "missing sold": [1, 2, 3],
    }


@pytest.mark.parametrize(
    ("column", "transform", "message"),
    [
        (pa.array([["a"]]), TEXT, "file: the column of kind holds lists; set many=True"),
        (pa.array([["a"]]), Text("kind"), "holds lists"),
        (pa.array([[["a"]]]), MANY, r"the column of tags holds list.*; give one that holds text"),
        (pa.array([{"a": 1}]), TEXT, "the column of kind holds struct"),
        (pa.array([{"a": 1}]), NUMBER, "the column of price holds struct.*that holds numbers"),
        (pa.array([MORNING]), NUMBER, "the column of price holds timestamp"),
        (pa.array([True]), TIME, "the column of at holds bool; give one that holds times"),
    ],
)
def test_a_column_that_cannot_serve_is_refused(column, transform, message):
    with pytest.raises(DataError, match=message):
        canonical(column, transform, "file")
