"""W3C Trace Context: https://www.w3.org/TR/trace-context/"""

import re

import pytest

from podway.online.servers import trace

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_span_of_ones_own_in_the_same_trace():
    own = trace.child(GIVEN)
    assert re.fullmatch(r"00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01", own)
    assert own.split("-")[2] != GIVEN.split("-")[2]


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nonsense",
        GIVEN.upper(),
        GIVEN + "-more",
        GIVEN.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        GIVEN.replace("00f067aa0ba902b7", "0" * 16),
        "ff" + GIVEN[2:],
        GIVEN[:-1],
    ],
)
def test_what_is_none_begins_a_new_trace(given):
    own = trace.child(given)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", own)
    assert "4bf92f35" not in own


def test_later_versions_may_have_more():
    assert trace.child("01" + GIVEN[2:] + "-more").startswith("00-4bf92f35")


def test_it_holds_for_a_block():
    assert trace.current() == ""
    with trace.part_of(GIVEN):
        assert trace.current() == GIVEN
    assert trace.current() == ""
