"""Dots with whiskers."""

import math
import re
import xml.etree.ElementTree as xml
from typing import Any

import pytest

from podway.framework.page import chart, whisker
from podway.framework.page.whisker import Whisker

EVIL = "<script>alert(1)</script>\"'&"


def tree(figure: str) -> Any:
    assert not re.search(r"(?i)\b(nan|inf)\b", re.sub(r">[^<]*<", "><", figure))
    return xml.fromstring(figure)


def drawn(figure: str, kind: str, name: str) -> list[Any]:
    return [one for one in tree(figure).iter(kind) if one.get("class") == name]


def ends(path: Any) -> tuple[float, float]:
    left, right = re.fullmatch(r"M(\S+) \S+H(\S+)", path.get("d")).groups()  # type: ignore[union-attr]
    return float(left), float(right)


def test_a_dot_lies_on_its_whisker_where_its_numbers_are():
    figure = whisker.whiskers(
        "hr@10", [Whisker("a", 2, 1, 4, "2.0"), Whisker("b", 3, 2, 3, "3.0", colour=1)]
    )
    (low, high), (_, other) = map(ends, drawn(figure, "path", "whisker"))
    dots = [float(dot.get("cx")) for dot in drawn(figure, "circle", "mark")]
    unit = (high - low) / 3
    assert dots == pytest.approx([low + unit, low + 2 * unit], abs=0.2)
    assert other == pytest.approx(low + 2 * unit, abs=0.2)
    names = [text.text for text in drawn(figure, "text", "name")]
    assert names == ["a", "2.0", "b", "3.0"]
    assert [g[0].text for g in tree(figure).iter("g")] == ["a: 2 [1, 4]", "b: 3 [2, 3]"]
    assert [g.get("class") for g in tree(figure).iter("g")] == ["c0", "c1"]


def test_zero_is_in_the_picture_of_differences():
    row = [Whisker("a", 0.5, 0.4, 0.6)]
    assert not drawn(whisker.whiskers("d", row), "path", "zero")
    (line,) = drawn(whisker.whiskers("d", row, zero=True), "path", "zero")
    at = float(re.match(r"M(\S+)", line.get("d"))[1])  # type: ignore[index]
    (low, _) = ends(drawn(whisker.whiskers("d", row, zero=True), "path", "whisker")[0])
    assert at < low


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "x"])
def test_what_is_no_number_has_a_name_and_no_dot(value):
    figure = whisker.whiskers("t", [Whisker("a", value), Whisker("b", 1, value, 2)])
    assert len(drawn(figure, "circle", "mark")) == 1
    assert not drawn(figure, "path", "whisker")
    assert "a" in [text.text for text in drawn(figure, "text", "name")]
    for rows in ([], [Whisker("a", value)]):
        assert "no numbers" in whisker.whiskers("t", rows)


def test_names_are_inert_and_short():
    figure = whisker.whiskers(EVIL, [Whisker(EVIL * 9, 1, 0, 2, EVIL, EVIL)], words=EVIL)
    assert "<script" not in figure
    assert max(len(text.text) for text in drawn(figure, "text", "name")) < 40


def test_bars_have_spans_that_fit():
    spans = {"a": [(1.0, 9.0), None], "b": [(math.nan, 1), (-2.0, 3.0)]}
    given = chart.Bars(["x", "y"], {"a": [2, 1], "b": [1, 1]}, spans=spans)
    figure = chart.bars("t", given)
    found = [re.fullmatch(r"M(\S+) (\S+)V(\S+)", path.get("d")).groups()  # type: ignore[union-attr]
             for path in drawn(figure, "path", "span")]  # fmt: skip
    assert len(found) == 2
    assert all(0 < float(end) < 170 for _, *ends in found for end in ends)
    heights = [float(rect.get("height")) for rect in tree(figure).iter("rect")
               if "mark" in rect.get("class")]  # fmt: skip
    low, high = (float(end) for end in found[0][1:])
    assert low - high == pytest.approx(4 * heights[0], abs=0.5)


def test_a_line_points_out_places_along_the_bottom():
    series = [chart.Series("a", [(1, 1), (3, 2)])]
    figure = chart.lines("t", series, x="step", along=[0, 4], marks=[(3, "best"), (math.nan, "no")])
    (line,) = drawn(figure, "path", "mark-line")
    dots = [float(dot.get("cx")) for dot in drawn(figure, "circle", "mark")]
    assert float(re.match(r"M(\S+)", line.get("d"))[1]) == pytest.approx(dots[1])  # type: ignore[index]
    assert "best" in figure
    assert ">no<" not in figure
    left, right = dots
    assert left - (right - left) / 2 == pytest.approx(38, abs=0.2)  # where 0 is: the beginning
