import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podway.framework.page import axis

NAN, INF = math.nan, math.inf


def told(made: axis.Axis) -> list[str]:
    return [text for _, text in made.ticks]


def test_round_numbers_are_the_ticks():
    assert told(axis.fitted([0, 0.5, 1])) == ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert told(axis.fitted([10, 1200])) == ["200", "400", "600", "800", "1,000", "1,200"]
    assert told(axis.fitted([0.0, 3.0])) == ["0", "1", "2", "3"]
    assert told(axis.fitted([0, 2])) == ["0", "1", "2"]  # of whole numbers no halves
    assert told(axis.fitted([0.5, 2.0])) == ["0.5", "1.0", "1.5", "2.0"]


def test_places_are_shares_of_the_length():
    made = axis.fitted([10, 30])
    assert [made.place(value) for value in (10, 20, 30)] == [0, 0.5, 1]
    made = axis.fitted([1, 100], log=True)
    assert [made.place(value) for value in (1, 10, 100)] == [0, 0.5, 1]
    assert math.isnan(made.place(0))


def test_powers_on_a_logarithmic_axis():
    assert told(axis.fitted([1, 1000], log=True)) == ["1", "10", "100", "1,000"]
    assert told(axis.fitted([1, 30], log=True)) == ["1", "2", "5", "10", "20"]
    assert told(axis.fitted([0.9, 1.1], log=True)) == ["0.9", "0.95", "1", "1.05", "1.1"]
    assert len(told(axis.fitted([1e-30, 1e30], log=True))) <= 7


def test_a_few_numbers_have_a_tick_each():
    assert told(axis.fitted([4, 16, 64, 256], log=True, each=True)) == ["4", "16", "64", "256"]
    assert told(axis.fitted([4, 5, 6, 2560], each=True)) == [
        "500",
        "1,000",
        "1,500",
        "2,000",
        "2,500",
    ]


def test_room_at_the_ends_stops_at_zero():
    assert axis.fitted([0.1, 10], pad=0.05).start == 0
    assert axis.fitted([-10, -0.1], pad=0.05).end == 0
    assert axis.fitted([5, 10], pad=0.1).start == 4.5


@pytest.mark.parametrize("values", [[], [NAN, None, INF, "x", 10**400]])
@pytest.mark.parametrize("log", [False, True])
def test_nothing_to_show_is_an_empty_axis(values, log):
    made = axis.fitted(values, log=log)
    assert made.ticks == ()
    assert made.place(1) == (0 if log else 1)


@pytest.mark.parametrize("value", [0, 0.3, -7, 1e-250, 1e19])
def test_one_value_is_in_the_middle_and_the_only_tick(value):
    made = axis.fitted([value, NAN, value])
    assert made.place(value) == pytest.approx(0.5)
    assert [place for place, _ in made.ticks] == [0.5]
    assert made.start < made.end
    if value > 1e-200:
        assert axis.fitted([value], log=True).place(value) == pytest.approx(0.5)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(st.floats(), st.integers(), st.none()), max_size=9),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.05]),
)
def test_any_numbers_have_an_axis(values, log, each, pad):
    made = axis.fitted(values, log=log, each=each, pad=pad)
    places = [made.place(value) for value in values]
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places if not math.isnan(place))
    assert all(-1e-6 <= place <= 1 + 1e-6 for place, _ in made.ticks)
    assert len(made.ticks) <= 10
    assert len(set(told(made))) == len(made.ticks)
