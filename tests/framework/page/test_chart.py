import math
import re
import xml.etree.ElementTree as xml
from typing import Any

import pytest

from podway.framework.page import chart, frame

NAN, INF = math.nan, math.inf
EVIL = "<script>alert(1)</script>\"'&"


def tree(figure: str) -> Any:
    """What a strict parser makes of a figure; none of its numbers is NaN."""
    assert not re.search(r"(?i)\b(nan|inf)\b", re.sub(r">[^<]*<", "><", figure))
    return xml.fromstring(figure)


def drawn(figure: str, kind: str, name: str = "") -> list[Any]:
    """The marks of a kind, ("path", "line") for example."""
    return [one for one in tree(figure).iter(kind) if (one.get("class") or "").startswith(name)]


def words(figure: str) -> list[str]:
    return [text for text in tree(figure).itertext() if text.strip()]


def line(points, **options) -> str:
    return chart.lines("loss", [chart.Series("loss", points)], **options)


# ------------------------------------------------------------------------------------------ lines


def test_lines_have_names_colours_and_words():
    figure = chart.lines(
        "validation",
        [chart.Series("a", [(0, 1), (10, 3)]), chart.Series("b", [(0, 2), (10, 2)])],
        x="step",
        y="hr@10",
    )
    svg = tree(figure).find("svg")
    assert svg[0].tag == "title"
    assert svg[0].text == "validation"
    assert (
        svg.find("desc").text
        == "a: 1 to 3, at last 3; step 0 to 10; b: 2 to 2, at last 2; step 0 to 10"
    )
    assert [group.get("class") for group in svg.iter("g")] == ["c0", "c1"]
    key = tree(figure).find("figcaption/span")
    assert [(one.get("class"), one.text) for one in key] == [("c0", "a"), ("c1", "b")]
    assert {"step", "hr@10"} <= set(words(figure))
    dots = drawn(figure, "circle")
    assert [dot[0].text for dot in dots[:2]] == ["a: 1\nstep 0", "a: 3\nstep 10"]
    left, right = (float(dot.get("cx")) for dot in dots[:2])
    low, high = (float(dot.get("cy")) for dot in dots[:2])
    assert left < right
    assert high < low  # upwards


def test_a_single_line_says_what_it_spans_in_sight():
    figure = line([(10, 8.561), (1200, 5.0031)], x="step")
    assert " 5.003 to 8.561, at last 5.003; step 10 to 1,200" in f" {words(figure)[1]}"
    assert tree(figure).find("figcaption/span[@class='key']") is None


def test_gaps_part_a_line_and_what_stands_alone_is_a_dot():
    points = [(at, NAN if at in (3, 5) else at) for at in range(200)]
    figure = line(points)
    assert len(drawn(figure, "path", "line")) == 2
    (dot,) = drawn(figure, "circle")  # too many points for more of them
    assert dot[0].text.startswith("loss: 4")


def test_a_dense_line_keeps_its_extremes():
    points = [(at, math.sin(at / 50)) for at in range(50_000)]
    points[31_007] = (31_007, 9.0)
    points[31_008] = (31_008, -9.0)
    figure = line(points)
    assert len(figure) < 60_000
    (path,) = drawn(figure, "path", "line")
    up = [float(part.split()[1]) for part in path.get("d")[1:].split("L")]
    (short,) = drawn(line(points[31_000:31_020]), "path", "line")
    most = [float(part.split()[1]) for part in short.get("d")[1:].split("L")]
    assert (min(up), max(up)) == (min(most), max(most))


def test_a_band_is_an_area_behind_its_line():
    band = [(0, 1, 3), (10, 2, 4), (20, NAN, 4), (30, 1, 2), (40, 1, 2)]
    series = chart.Series("hr", [(0, 2), (10, 3)], band)
    figure = chart.lines("hr", [series])
    kinds = [one.get("class") for one in tree(figure).find("svg/g")]
    assert kinds == ["band", "band", "line", "mark", "mark"]
    assert all(one.get("d").endswith("Z") for one in drawn(figure, "path", "band"))


def test_more_lines_than_colours_are_dashed():
    series = [chart.Series(str(at), [(0, at), (1, at)]) for at in range(frame.COLOURS + 1)]
    groups = tree(chart.lines("many", series)).iter("g")
    assert [group.get("class") for group in groups][-1] == "c0 dashed"


def test_a_logarithmic_axis_leaves_out_what_is_not_positive():
    figure = line([(1, 0), (2, 10), (3, 100), (4, -1)], log_y=True)
    assert len(drawn(figure, "circle")) == 2
    assert "10 to 100, at last 100; 2 to 3" in words(figure)


@pytest.mark.parametrize(
    "points",
    [
        [(5, 0.3)],
        [(0, 0)],
        [(at, 7.25) for at in range(9)],
        [(3, 1), (3, 2)],
        [(0, 1e308), (1, 2)],
        [(0, 5e-324), (1, 0)],
        [(0, 1e16), (1, 1e16 + 2)],
        [(True, 1), (2, "3")],
    ],
)
@pytest.mark.parametrize("log", [False, True])
def test_odd_numbers_have_a_picture(points, log):
    figure = line(points, log_x=log, log_y=log)
    svg = tree(figure).find("svg")
    width, height = map(float, svg.get("viewBox").split()[2:])
    for dot in drawn(figure, "circle"):
        assert 0 <= float(dot.get("cx")) <= width
        assert 0 <= float(dot.get("cy")) <= height
    assert drawn(figure, "circle") or "no numbers" in words(figure)


@pytest.mark.parametrize(
    "series",
    [
        [],
        [chart.Series("a", [])],
        [chart.Series("a", [(1, NAN), (2, None), (3, INF), (None, 1)])],
        [chart.Series("a", []), chart.Series("b", [(NAN, 1)], [(0, NAN, 1)])],
    ],
)
def test_nothing_to_draw_is_said(series):
    figure = chart.lines("empty", series, x="step", y="loss")
    assert "no numbers" in words(figure)
    assert not drawn(figure, "circle")


def test_names_are_inert():
    figure = chart.lines(EVIL, [chart.Series(EVIL, [(0, 1)])] * 2, x=EVIL, y=EVIL)
    figure += chart.bars(EVIL, chart.Bars([EVIL], {EVIL: [1], "b": [2]}, note=EVIL), y=EVIL)
    root = xml.fromstring(f"<body>{figure}</body>")
    assert not list(root.iter("script"))
    assert EVIL in [text.strip() for text in root.itertext()]
    assert not [name for one in root.iter() for name in one.attrib if name.startswith("on")]


# ------------------------------------------------------------------------------------------- bars


def heights(figure: str) -> list[float]:
    return [float(rect.get("height")) for rect in drawn(figure, "rect", "mark")]


def test_bars_are_as_high_as_their_numbers():
    figure = chart.bars("hits", chart.Bars(["x", "y"], {"a": [1, 2], "b": [NAN, 4]}))
    low, high, highest = heights(figure)
    assert high == pytest.approx(2 * low, abs=0.2)
    assert highest == pytest.approx(4 * low, abs=0.2)
    assert [group[0].text for group in drawn(figure, "g")] == ["x\na: 1\nb: nan", "y\na: 2\nb: 4"]
    assert {"x", "y"} <= set(words(figure))
    assert drawn(figure, "rect", "mark")[2].get("class") == "mark c1"


def test_bars_hang_below_zero():
    figure = chart.bars("gain", chart.Bars(["x", "y", "z"], {"a": [-1, 1, 0]}))
    below, above = drawn(figure, "rect", "mark")
    zero = float(below.get("y"))
    assert float(above.get("y")) + float(above.get("height")) == pytest.approx(zero, abs=0.2)


def test_a_bar_that_dwarfs_others_is_cut_and_says_so():
    given = chart.Bars([str(at) for at in range(9)], {"a": [100, *range(1, 9)]})
    figure = chart.bars("hits", given, cut=True)
    assert "↑ 100" in words(figure)
    assert max(heights(figure)) < 1.3 * sorted(heights(figure))[-2]
    assert "↑ 100" not in words(chart.bars("hits", given))


def test_labels_that_have_no_room_are_left_out_or_shortened():
    many = chart.Bars([f"feature {at}" for at in range(60)], {"a": [1] * 60})
    told = [text for text in words(chart.bars("t", many)) if re.fullmatch(r"feature \d+", text)]
    assert 3 <= len(told) <= 8
    long = chart.bars("t", chart.Bars(["a" * 300, "b"], {"a": [1, 2]}))
    assert max(len(text) for text in words(long) if "\n" not in text) < 30


@pytest.mark.parametrize(
    "given",
    [
        chart.Bars([], {}),
        chart.Bars([], {"a": []}),
        chart.Bars(["x"], {}),
        chart.Bars(["x", "y"], {"a": [NAN, None]}),
    ],
)
@pytest.mark.parametrize("cut", [False, True])
def test_no_bars_are_said(given, cut):
    assert "no numbers" in words(chart.bars("t", given, cut=cut))


@pytest.mark.parametrize("values", [[0, 0], [-3, -5], [1e-300, 0], [1e308, 1], [5]])
@pytest.mark.parametrize("cut", [False, True])
def test_odd_bars_have_a_picture(values, cut):
    figure = chart.bars("t", chart.Bars([str(v) for v in values], {"a": values}), cut=cut)
    assert all(0 < height < 200 for height in heights(figure))
