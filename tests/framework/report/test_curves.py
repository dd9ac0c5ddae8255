"""Which curves a run has."""

import random
import re

import pytest

from podway.framework.report import curves


def titles(figures) -> list[str]:
    return [re.findall(r"<figcaption><b>(.*?)</b>", figure)[0] for figure in figures]


def records(names, steps=3):
    return [{"step": step, **{name: float(step) for name in names}} for step in range(steps)]


@pytest.mark.parametrize(
    ("names", "selection", "first", "others"),
    [
        (
            ["loss", "rate", *(f"validation/{n}" for n in ("hr@5", "ndcg@5", "hr@9", "nll"))],
            "ndcg@5",
            ["loss", "validation @5"],
            ["rate", "validation @9"],
        ),
        (
            ["loss", "validation/a/logloss", "validation/a/auc", "validation/b/auc"],
            "a/logloss",
            ["loss", "validation: auc"],
            [],
        ),
        (["loss", "embedding/overflow"], "ndcg@5", ["loss"], ["embedding/overflow"]),
        (["validation/x"], "", ["validation: x"], []),
        ([], "", [], []),
    ],
)
def test_what_belongs_together_shares_a_chart(names, selection, first, others):
    found = curves.of(records(names), selection, None)
    assert titles(found.first) == first
    assert titles(found.others) == others
    assert found.single == []


def test_what_has_one_value_is_a_number():
    found = curves.of(records(["loss", "compile"], 1), "", None)
    assert (found.first, found.others) == ([], [])
    assert dict(found.single) == {"loss": "0", "compile": "0"}
    odd = curves.of([{"step": 1, "loss": None}], "", None)
    assert titles(odd.first) == ["loss"]  # which says that there are no numbers


@pytest.mark.parametrize("count", [7, 8_000, 50_001])
def test_a_long_line_keeps_its_extremes_its_ends_and_its_gaps(count):
    draw = random.Random(count)
    values = [draw.gauss(0, 1) for _ in range(count)]
    values[count // 3] = None
    given = list(enumerate(values))
    kept = curves._thinned(given)
    assert kept == sorted(kept, key=lambda point: point[0])
    assert set(kept) <= set(given)
    assert len(kept) == count if count < 8_000 else len(kept) < 7_000
    known = [value for value in values if value is not None]
    assert {min(known), max(known), None} <= {value for _, value in kept}
    assert (kept[0], kept[-1]) == (given[0], given[-1])
