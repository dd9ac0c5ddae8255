import numpy as np
import pytest

from podway.framework.config import Evaluation
from podway.framework.evaluation import slices
from podway.framework.evaluation.ranks import Ranks


def test_terciles_of_activity_keep_equal_users_together():
    history = np.array([5, 1, 9, 2, 2, 2, 7, 8, 3])
    groups = slices.by_activity(history)
    assert {name: history[mask].tolist() for name, mask in groups.items()} == {
        "history ≤ 2": [1, 2, 2, 2],
        "history 3–5": [5, 3],
        "history > 5": [9, 7, 8],
    }
    assert list(slices.by_activity(np.full(4, 6))) == ["history ≤ 6"]


def test_head_mid_and_tail_make_up_a_third_of_the_events_each():
    # 12 events. Item 3 begins at 0 of 12, item 5 at 4 (a third: mid), 2 at 7, 6 at 9, 7 at 11.
    counts = np.array([50, 60, 2, 4, 0, 3, 2, 1])
    groups = slices.by_popularity(np.arange(8), counts)
    assert {name: np.flatnonzero(mask).tolist() for name, mask in groups.items()} == {
        "target head": [3],
        "target mid": [2, 5],
        "target tail": [6, 7],
        "target cold": [4],
        "target unknown": [0, 1],
    }


def test_each_slice_averages_its_own_users():
    nothing = np.zeros(6, int)
    ranks = Ranks(
        target=np.array([1, 3, 2, 4, 1, 4]),
        item=np.array([2, 2, 3, 4, 3, 2]),
        history=np.array([1, 1, 5, 5, 9, 9]),
        candidates=nothing,
        lists=nothing,
        nll=nothing,
        seen=nothing == 1,
    )
    options = Evaluation(cutoffs=(3, 5), bootstrap=50)
    table = slices.summarize(ranks, options, np.array([0, 9, 3, 1, 0]))
    cells = {name: (cell["value"], cell["users"]) for name, cell in table.items()}
    assert cells == {
        "hr@3 [history ≤ 1]": (1.0, 2),
        "hr@3 [history 2–5]": (0.5, 2),
        "hr@3 [history > 5]": (0.5, 2),
        "hr@3 [target head]": (pytest.approx(2 / 3), 3),
        "hr@3 [target tail]": (1.0, 2),
        "hr@3 [target cold]": (0.0, 1),
        "hr@5 [target cold]": (1.0, 1),
        "ndcg@3 [history ≤ 1]": (0.75, 2),
        "ndcg@3 [history 2–5]": (pytest.approx(0.5 / np.log2(3)), 2),
        "ndcg@3 [history > 5]": (0.5, 2),
        "ndcg@3 [target head]": (pytest.approx(0.5), 3),
        "ndcg@3 [target tail]": (pytest.approx(0.5 + 0.5 / np.log2(3)), 2),
        "ndcg@3 [target cold]": (0.0, 1),
        "ndcg@5 [target cold]": (pytest.approx(1 / np.log2(5)), 1),
    }
    assert all(cell["low"] <= cell["value"] <= cell["high"] for cell in table.values())
