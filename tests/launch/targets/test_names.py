import pytest
from hypothesis import given
from hypothesis import strategies as st

from podway.launch.targets import names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("movielens_sasrec", "movielens-sasrec"),
        ("Movie Lens", "movie-lens"),
        ("_a_", "a"),
        ("9", "9"),
        ("***", "x"),
    ],
)
def test_a_name_reads_as_ours(text, name):
    assert names.legal(text) == name


@given(st.text(max_size=100), st.integers(10, 63))
def test_every_text_has_a_legal_name(text, limit):
    assert names.is_legal(names.legal(text, limit), limit)


def test_long_names_that_begin_alike_stay_apart():
    one, other = names.legal("a" * 80 + "x", 40), names.legal("a" * 80 + "y", 40)
    assert one != other
    assert len(one) <= 40


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a" * 64])
def test_what_is_not_legal(name):
    assert not names.is_legal(name)
