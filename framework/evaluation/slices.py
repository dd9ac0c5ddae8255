"""For whom, and for what, a model is good: HR and NDCG by groups of the test examples. NumPy.

history …        by the number of events that the user had before: about a third each
target head      among the most popular items, which make up a third of the training events
target mid       among those that make up the next third
target tail      among the others that training saw
target cold      of the catalogue, but never seen in training: nothing that learns ids can rank it
target unknown   not of the catalogue: nothing can
target seen      in the user's history, where such items may not be recommended: nothing can either
"""

from collections.abc import Mapping

import numpy as np

from podway.framework import config
from podway.framework.evaluation.ranks import Ranks
from podway.framework.metrics import ranking
from podway.framework.schema.schema import FIRST_VALUE

SHARES = {"head": 1 / 3, "mid": 2 / 3, "tail": 1.0}
"""Up to which share of the training events, the most popular items first, an item belongs there."""
COLD = "target cold"
SEEN = "target seen"


def by_activity(history: np.ndarray) -> dict[str, np.ndarray]:
    """Masks [users] of three groups of users by their number of events; equal ones stay together.

    Groups that nobody is in are left out.
    """
    low, high = np.quantile(history, [1 / 3, 2 / 3], method="lower")
    groups = {
        f"history ≤ {low}": history <= low,
        f"history {low + 1}–{high}": (history > low) & (history <= high),
        f"history > {high}": history > high,
    }
    return {name: mask for name, mask in groups.items() if mask.any()}


def by_popularity(item: np.ndarray, train_counts: np.ndarray) -> dict[str, np.ndarray]:
    """Masks [users] of the targets by their items' share of the training events, as above.

    An item belongs where the more popular ones, of equals those of lower id, leave off.
    """
    counts = np.where(np.arange(len(train_counts)) >= FIRST_VALUE, train_counts, 0)
    order = np.argsort(-counts, kind="stable")
    before = np.zeros(len(counts))
    before[order] = np.cumsum(counts[order]) - counts[order]
    share = before / max(counts.sum(), 1)
    group = np.searchsorted([*SHARES.values()], share, side="right")
    groups = {
        f"target {name}": (group[item] == number) & (counts[item] > 0)
        for number, name in enumerate(SHARES)
    }
    groups[COLD] = (counts[item] == 0) & (item >= FIRST_VALUE)
    groups["target unknown"] = item < FIRST_VALUE
    return {name: mask for name, mask in groups.items() if mask.any()}


def summarize(
    ranks: Ranks, options: config.Evaluation, train_counts: np.ndarray
) -> dict[str, dict[str, float]]:
    """{"ndcg@10 [target head]": {"value", "low", "high", "users"}, …}, at the first cutoff.

    Of cold targets, which few lists have, at all cutoffs.
    """
    groups: Mapping[str, np.ndarray] = by_activity(ranks.history) | by_popularity(
        ranks.item, train_counts
    )
    groups = groups | ({SEEN: ranks.seen} if ranks.seen.any() else {})
    table = {}
    for name in ("hr", "ndcg"):
        for group, mask in groups.items():
            for k in options.cutoffs if group == COLD else options.cutoffs[:1]:
                values = ranking.PER_USER[name](ranks.target, k)[mask]
                low, high = ranking.bootstrap_interval(values, options.bootstrap, options.seed)
                table[f"{name}@{k} [{group}]"] = {
                    "value": float(values.mean()),
                    "low": low,
                    "high": high,
                    "users": int(mask.sum()),
                }
    return table
