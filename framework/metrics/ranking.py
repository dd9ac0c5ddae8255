"""Ranking metrics of one target per user, from its rank; pure NumPy.

A metric that nothing is left to be computed of is not a number (nan).

With one relevant item, NDCG@k = 1 / log2(1 + rank) for rank ≤ k, else 0 (Järvelin & Kekäläinen,
2002), HR@k = Recall@k = [rank ≤ k], MRR@k = 1 / rank for rank ≤ k, else 0.
"""

from collections.abc import Callable

import numpy as np

from podway.framework.schema.schema import FIRST_VALUE

UNRANKED = int(np.iinfo(np.int32).max)
"""The rank of a target that is in no list, however long."""


def hit_rate(ranks: np.ndarray, k: int) -> np.ndarray:
    """Per user: 1.0 where the target is in the top k. Ranks count from 1."""
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: np.ndarray, k: int) -> np.ndarray:
    """Per user: 1 / log2(1 + rank) in the top k, else 0."""
    return np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0)


def mrr(ranks: np.ndarray, k: int) -> np.ndarray:
    """Per user: 1 / rank in the top k, else 0."""
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


PER_USER: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "hr": hit_rate,
    "ndcg": ndcg,
    "mrr": mrr,
}


def coverage(lists: np.ndarray, k: int, catalogue: int) -> float:
    """Share of the catalogue's items that stand in at least one of the top-k lists [users, ≥ k]."""
    found = int((np.unique(lists[:, :k]) >= FIRST_VALUE).sum())
    return found / catalogue if catalogue else float("nan")


def popularity_bias(lists: np.ndarray, k: int, counts: np.ndarray) -> float:
    """Mean training events of a recommended item, over that of an item drawn from the events.

    `counts[id]` are training events by item id. 1: recommends as popular as users consume; above 1:
    more popular. (Average recommendation popularity, Yin et al. 2012, relative to the data's own.)
    Places of the lists that no item was left for are left out. `counts` of ids that are no items
    don't count.
    """
    counts = np.where(np.arange(len(counts)) >= FIRST_VALUE, counts, 0).astype(np.float64)
    recommended = lists[:, :k][lists[:, :k] >= FIRST_VALUE]
    if not len(recommended) or not counts.any():
        return float("nan")
    consumed = (counts**2).sum() / counts.sum()
    return float(counts[recommended].mean() / consumed)


def novelty(lists: np.ndarray, k: int, counts: np.ndarray) -> float:
    """Mean self-information −log₂ p(item) of a recommended item, bits (Vargas & Castells, 2011).

    p is the item's share of the training events, `counts[id]`; one without any counts as having
    one. Places of the lists that no item was left for are left out.
    """
    recommended = lists[:, :k][lists[:, :k] >= FIRST_VALUE]
    events = counts[FIRST_VALUE:].sum()
    if not len(recommended) or not events:
        return float("nan")
    share = np.maximum(counts[recommended], 1) / events
    return float(-np.log2(share).mean())


def sampled_ranks(
    ranks: np.ndarray, candidates: np.ndarray, negatives: int, seed: int
) -> np.ndarray:
    """Ranks of the targets among themselves and so many other candidates, drawn evenly, [users].

    Of the rank − 1 candidates ahead of the target, the number in such a sample without repetition
    is hypergeometric: it can be drawn from the full rank, without any sample. `candidates` is the
    number of items that were ranked, the target included; fewer of them are all drawn. A target
    that was not among them is UNRANKED.
    """
    others = np.maximum(candidates - 1, 0)  # a user may have seen the whole catalogue
    ahead = np.random.default_rng(seed).hypergeometric(
        np.minimum(ranks - 1, others),
        np.maximum(others - ranks + 1, 0),
        np.minimum(negatives, others),
    )
    return np.where(ranks > candidates, UNRANKED, ahead + 1)


def bootstrap_interval(
    values: np.ndarray, resamples: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron, 1979) of the mean over users.

    (nan, nan) where a value is not finite.
    """
    if not np.isfinite(values).all():
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    means = [
        values[generator.integers(0, len(values), len(values))].mean() for _ in range(resamples)
    ]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
