import functools
import unicodedata

import pytest

from podway.framework.schema import code_points

EVERYTHING = range(code_points.END)


@functools.cache
def words() -> list[bool]:
    inside, found, boundaries = False, [], set(code_points.BOUNDARIES)
    for point in EVERYTHING:
        inside ^= point in boundaries
        found.append(inside)
    return found


@functools.cache
def lowercase() -> dict[int, int]:
    return {
        point: point + distance
        for first, last, step, distance in code_points.LOWERCASE
        for point in range(first, last + 1, step)
    }


def test_what_was_a_word_still_is_one():
    table = words()
    assert len(table) == code_points.END
    theirs = [unicodedata.category(chr(point))[0] in "LMN" for point in EVERYTHING]
    assert all(b for a, b in zip(table, theirs, strict=True) if a)
    if unicodedata.unidata_version == "14.0.0":  # later ones know more
        assert table == theirs


def test_lowercase_is_one_code_point_of_a_word():
    table, mapping = words(), lowercase()
    for point in EVERYTHING:
        if table[point]:
            assert mapping.get(point, point) == ord(chr(point).lower()[0]), hex(point)
            assert table[mapping.get(point, point)]
        else:
            assert point not in mapping
    assert chr(mapping[ord("İ")]) == "i"
    assert chr(mapping[ord("Σ")]) == "σ"


def test_the_tables_rise():
    assert list(code_points.BOUNDARIES) == sorted(set(code_points.BOUNDARIES))
    assert len(code_points.BOUNDARIES) % 2 == 0  # the last code points are none
    edges = [edge for first, last, _, _ in code_points.LOWERCASE for edge in (first, last)]
    assert edges == sorted(edges)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("naïve", True), ("日本", True), ("١٢", True), ("नमस्ते", True), ("-", False), ("😀", False)],
)
def test_examples(text, expected):
    table = words()
    assert {table[ord(character)] for character in text} == {expected}
