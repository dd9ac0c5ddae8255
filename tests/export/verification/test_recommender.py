"""How a recommender's answers are held against JAX's."""

import numpy as np
import pytest

from podway.export.error import ExportError
from podway.export.verification import recommender

ANSWER = {"values": ["a", "b", "c", "d"], "ids": [2, 3, 4, 5], "scores": [3.0, 2.0, 2.0, 1.0]}


def compare(items: list[str], scores: list[float]) -> float:
    item = np.array([[item.encode() for item in items]], object)
    return recommender.compare([ANSWER], "values", item, np.array([scores], np.float32), 3, "here")


def test_scores_within_the_tolerance_pass():
    assert compare(["a", "b", "c"], [3.0, 2.0, 2.0]) == 0
    assert compare(["a", "b", "c"], [3.00003, 2.0, 2.0]) == pytest.approx(3e-5, rel=0.01)


def test_ties_may_be_broken_otherwise():
    compare(["a", "c", "b"], [3.0, 2.0, 2.0])
    answer = ANSWER | {"scores": [3.0, 2.0, 1.0, 1.0]}
    item = np.array([[b"a", b"b", b"d"]], object)
    recommender.compare([answer], "values", item, np.array([[3.0, 2.0, 1.0]]), 3, "here")


@pytest.mark.parametrize(
    ("items", "scores", "message"),
    [
        (["a", "b", "c"], [3.0, 2.0001, 2.0], r"row 0, place 1: score 2\.0001, JAX says 2 "),
        (["a", "b", "c"], [float("nan"), 2.0, 2.0], "place 0: score nan"),
        (["b", "a", "c"], [3.0, 2.0, 2.0], "place 0: item 'b', JAX says 'a'"),
        (["a", "b", "x"], [3.0, 2.0, 2.0], "place 2: item 'x', JAX says 'c'"),
        (["a", "b", "b"], [3.0, 2.0, 2.0], "twice"),
        (["a", "b"], [3.0, 2.0], r"\(1, 2\).*not \(1, 3\)"),
    ],
)
def test_what_differs_is_named(items, scores, message):
    with pytest.raises(ExportError, match=message):
        compare(items, scores)
