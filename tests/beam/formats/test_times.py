"""Times in every unit and form: the same moment, or a reason; nothing is guessed or wraps."""

import datetime
import decimal
import random

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from podway.beam.formats import iso
from podway.beam.formats.checks import Notice
from podway.beam.formats.times import EARLIEST, LATEST, Clock, microseconds

EPOCH = datetime.datetime(1970, 1, 1)
MOMENT = 1_462_096_800_123_456
NAIVE, FINER = "time without a time zone: read as UTC", "time finer than a microsecond: cut off"


def micro(moment: datetime.datetime) -> int:
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


def read(values: pa.Array, unit: str = "s", *, recognised: bool = False):
    """Microseconds, None where rejected; the reasons; and the notices."""
    found, checks = microseconds(values, "f", Clock(unit, recognised))
    good = np.ones(len(values), bool)
    reasons, said = {}, {}
    for reason, mask in checks:
        if isinstance(reason, Notice):
            said[str(reason)] = np.flatnonzero(mask).tolist()
        else:
            reasons[reason] = np.flatnonzero(mask).tolist()
            good &= ~mask
    return [int(at) if ok else None for at, ok in zip(found, good, strict=True)], reasons, said


def test_iso_as_python_writes_it():
    """20,000 moments in its forms, against datetime."""
    generator = random.Random(1)
    texts, expected = [], []
    for _ in range(20_000):
        moment = datetime.datetime(
            generator.randint(1, 9999), generator.randint(1, 12), generator.randint(1, 28),
            generator.randint(0, 23), generator.randint(0, 59), generator.randint(0, 59),
            generator.choice([0, 500_000, 123_456]),
        )  # fmt: skip
        dash, colon = ("-", ":") if generator.random() < 0.7 else ("", "")
        year = f"{moment.year:04}"
        text = f"{year}{dash}{moment.month:02}{dash}{moment.day:02}"
        depth = generator.randint(0, 3)
        parts = [f"{moment.hour:02}", f"{moment.minute:02}", f"{moment.second:02}"][:depth]
        text += generator.choice("T t") * bool(depth) + colon.join(parts)
        if depth == 3 and moment.microsecond:
            text += generator.choice(".,") + f"{moment.microsecond:06}".rstrip("0")
        kept = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
        part = moment.microsecond if depth == 3 else 0
        zone, offset = generator.choice(
            [("", 0), ("Z", 0), (" UTC", 0), ("+00:00", 0), ("+0230", 150), ("-07", -420)]
        )
        zone, offset = (zone, offset) if depth else ("", 0)
        texts.append(text + zone)
        moment = datetime.datetime(*kept[: 3 + depth], microsecond=part)  # pyright: ignore[reportArgumentType]
        expected.append(micro(moment) - offset * 60_000_000)
    found = iso.parse(pl.Series(texts))
    assert not found.wrong.any()
    assert found.found.tolist() == expected
    for text in texts[::50]:  # all by themselves they may go the quick way
        alone, slow = iso.parse(pl.Series([text])), iso._one_by_one(pl.Series([text]))
        for name in ("found", "wrong", "naive", "finer"):
            assert getattr(alone, name).tolist() == getattr(slow, name).tolist(), text


@pytest.mark.parametrize(
    "text",
    [
        "2016-02-30", "1900-02-29", "2016-13-01", "2016-00-10", "2016-0501", "2016-05-01T24:00",
        "2016-05-01T10:00:60", "2016-05-01T10:1010", "2016-05-01T10:00+24:00", "16-05-01",
        "2016-05-01 10:00 PM", "01/05/2016", "20160501101010", "1500000000", "noon",
    ],
)  # fmt: skip
def test_what_is_no_iso(text):
    _, reasons, said = read(pa.array([text, "2016-05-01"]), "iso")
    assert reasons == {"time is not ISO 8601": [0]}
    assert said == {NAIVE: [1]}


def test_iso_in_a_column():
    texts = ["2016-05-01T10:00:00.1234569Z", " 2016-05-01 10:00 ", "", None, "0000-01-01", "x"]
    found, reasons, said = read(pa.array(texts), "iso")
    assert found == [MOMENT, MOMENT - 123_456, None, None, None, None]
    assert reasons == {
        "missing time": [2, 3],
        "time is not ISO 8601": [5],
        "time is not in the years 1 to 9999": [4],
    }
    assert said == {NAIVE: [1, 4], FINER: [0]}
    assert read(pa.array([20160501]), "iso")[0] == [MOMENT - 36_000_123_456]


@pytest.mark.parametrize("kind", ["int64", "double", "text", "bytes", "decimal"])
@pytest.mark.parametrize(
    ("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)]
)
def test_units_of_numbers(kind, unit, per_second):
    seconds = [1_462_096_800, -5, 0, 253_402_300_799 if unit != "ns" else 9_000_000_000]
    numbers = [at * per_second for at in seconds]
    column = {
        "int64": pa.array(numbers, pa.int64()),
        "double": pa.array([float(number) for number in numbers]),
        "text": pa.array(list(map(str, numbers))),
        "bytes": pa.array([str(number).encode() for number in numbers]),
        "decimal": pa.array([decimal.Decimal(number) for number in numbers]),
    }[kind]
    assert read(column, unit)[0] == [at * 10**6 for at in seconds]


def test_the_ends_of_time():
    for unit, per_second in (("s", 1), ("ms", 1000), ("us", 10**6)):
        ends = [EARLIEST * per_second, LATEST * per_second + per_second - 1]
        beyond = [ends[0] - 1, ends[1] + 1]
        found, reasons, _ = read(pa.array([*ends, *beyond, 2**63 - 1, -(2**63)], pa.int64()), unit)
        assert found[:2] == [end * (10**6 // per_second) for end in ends]
        assert list(reasons.values()) == [[2, 3, 4, 5]]
    # Nanoseconds of 64 bits begin in 1677.
    assert read(pa.array([-(2**63)]), "ns")[0] == [-(2**63) // 1000]
    huge = pa.array([2**64 - 1, 5], pa.uint64())
    assert read(huge)[0] == [None, 5_000_000]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_typed_timestamps(unit, zone):
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    column = pa.array([5 * per_second, None, 2**63 - 1], pa.timestamp(unit, zone))
    found, reasons, said = read(column)
    assert found[:2] == [5_000_000, None]
    assert reasons.pop("missing time") == [1]
    beyond = {} if unit == "ns" else {"time is not in the years 1 to 9999": [2]}
    assert reasons == beyond
    assert said.get(NAIVE) == (None if zone else [0, 2])
    assert read(pa.array([-1], pa.timestamp("ns", "UTC")))[::2] == ([-1], {FINER: [0]})


def test_dates_and_columns_of_nothing():
    assert read(pa.array([1, None, -719_162], pa.date32()))[0] == [
        86_400_000_000,
        None,
        EARLIEST * 10**6,
    ]
    assert read(pa.array([86_400_000], pa.date64()))[0] == [86_400_000_000]
    assert read(pa.array([2**31 - 1], pa.date32()))[1] == {
        "time is not in the years 1 to 9999": [0]
    }
    assert read(pa.nulls(2))[1] == {"missing time": [0, 1]}


def test_floats_of_32_bits_are_said():
    found, _, said = read(pa.array([1_500_000_001.0, 5.0], pa.float32()))
    assert found == [1_500_000_000_000_000, 5_000_000]
    assert said == {"time is float32, which is exact to 128 seconds": [0]}


@pytest.mark.parametrize(
    ("format", "text", "moment"),
    [
        ("%Y%m%d", "20160509", datetime.datetime(2016, 5, 9)),
        ("%d/%m/%Y", "09/05/2016", datetime.datetime(2016, 5, 9)),
        ("%m/%d/%y %I:%M %p", "05/09/16 10:30 PM", datetime.datetime(2016, 5, 9, 22, 30)),
        ("%d %b %Y %H:%M:%S", "09 May 2016 10:11:12", datetime.datetime(2016, 5, 9, 10, 11, 12)),
        ("%Y-%m-%d %H:%M:%S.%f", "2016-05-09 10:00:00.5",
         datetime.datetime(2016, 5, 9, 10, 0, 0, 500_000)),
        ("%Y-%m-%d %H:%M %z", "2016-05-09 10:00 +0200", datetime.datetime(2016, 5, 9, 8)),
        ("%Y%m%d%H%M%S", "20160509101112", datetime.datetime(2016, 5, 9, 10, 11, 12)),
    ],
)  # fmt: skip
def test_declared_formats_are_pythons(format, text, moment):
    parsed = datetime.datetime.strptime(text, format)
    assert micro(
        parsed.replace(tzinfo=None) - (parsed.utcoffset() or datetime.timedelta())
    ) == micro(moment)
    found, reasons, said = read(pa.array([text, "x", None]), format)
    assert found == [micro(moment), None, None]
    assert reasons == {"missing time": [2], f"time is not written as {format}": [1]}
    assert (NAIVE in said) == ("%z" not in format)


def test_a_declared_format_reads_whole_numbers():
    assert read(pa.array([20160509, None]), "%Y%m%d")[0] == [
        micro(datetime.datetime(2016, 5, 9)),
        None,
    ]
    assert read(pa.array([20160509.0]), "%Y%m%d")[0] == [micro(datetime.datetime(2016, 5, 9))]


def test_other_units_than_the_recognised_one_are_rejected():
    mixed = [1_500_000_000, 1_500_000_000_000, 0, 1_500_000_000_000_000_000]
    for column in (
        pa.array(mixed),
        pa.array(list(map(str, mixed))),
        pa.array(list(map(float, mixed))),
    ):
        found, reasons, _ = read(column, "ms", recognised=True)
        assert found == [None, 1_500_000_000_000_000, 0, None]
        assert reasons["time looks like seconds, not milliseconds"] == [0]
        assert reasons["time looks like nanoseconds, not milliseconds"] == [3]
    assert read(pa.array(mixed[:2]), "ms")[0] == [1_500_000_000_000, 1_500_000_000_000_000]
    _, reasons, _ = read(pa.array(["2016-05-01", "5"]), "s", recognised=True)
    assert reasons == {"time is not a number": [0]}
    _, reasons, _ = read(pa.array([5, None]), "typed", recognised=True)
    assert reasons == {"missing time": [1], "time is a number, others are times": [0]}
