import pytest

from podway.framework.page import text

DAY = 86_400_000_000


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (0, "0"),
        (-0.00001234, "-1.23e-5"),
        (0.123456, "0.1235"),
        (1234567, "1,234,567"),
        (12345.678, "12,346"),
        (3.4028235e38, "3.4e38"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_numbers_for_people(value, shown):
    assert text.number(value) == shown


def test_times_for_people():
    assert text.time(1_700_000_000_000_000) == "2023-11-14 22:13"
    assert text.clock(31 * DAY)(-DAY) == "1969-12-31"
    assert text.clock(DAY)(0) == "1970-01-01 00:00"


@pytest.mark.parametrize(
    ("values", "step", "shown"),
    [
        ([0.0, 0.5, 1.0], 0.5, ["0", "0.5", "1.0"]),
        ([-0.05, 0.1 + 0.2], 0.05, ["-0.05", "0.30"]),
        ([0, 500_000], 500_000, ["0", "500,000"]),
        ([0, 2e7], 2e7, ["0", "2e7"]),
        ([-5e-7, 1e-17, 1e-6], 5e-7, ["-5e-7", "0", "1e-6"]),
        ([1e9, 1e9 + 5], 5, ["1e9", "1.000000005e9"]),
        ([], 1, []),
    ],
)
def test_ticks_tell_neighbours_apart_with_equal_digits(values, step, shown):
    assert text.ticks(values, step) == shown


def test_shares_are_percents():
    assert text.percents([0.0, 0.05], 0.05) == ["0%", "5%"]
    assert text.percents([0.0, 0.0005], 0.0005) == ["0.00%", "0.05%"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (4.25, "4.25 s"),
        (59.4, "59.4 s"),
        (61, "1 min 01 s"),
        (3599.9, "1 h 00 min"),
        (3 * 3600 + 20 * 60, "3 h 20 min"),
        (26 * 3600, "1 day 02 h"),
        (100 * 3600, "4 days 04 h"),
        (float("nan"), "nan"),
    ],
)
def test_spans_for_people(seconds, shown):
    assert text.span(seconds) == shown
