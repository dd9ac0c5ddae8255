"""How many rows a device asks another one for, at most: a size that is fixed at compile time.

An exchange of embedding rows sends each owner of rows a buffer of fixed size. Too small, and ids
overflow (they are counted, and training stops); too large, and the network carries padding. Both
are matters of how many distinct ids a batch brings, per owner, and how much that varies.

The expected number follows from the train split's counts: N draws hit an id of probability p with
probability 1 − (1 − p)ᴺ, and an owner holds every n-th id. Without counts there is a bound that
needs none: where ids fall in frequency, the ids of any two owners interlace, so no owner expects
over one distinct id more than another, and none more than N/n + 1. Hashed ids keep to it as well.

Which ids are hit are negatively associated events (Joag-Dev & Proschan, 1983), so Chernoff's bound
for sums of independent ones holds: P(X ≥ x) ≤ exp(x − μ − x·log(x/μ)). The capacity is the least
that it puts below FAILURE for all pairs of devices together.

The draws of a batch are not quite independent: a user seldom has an item twice, so that a batch
brings more distinct ids than its counts say. `margin` is for that; it multiplies the expectation
that counts gave, never above the bound that needs none.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

FAILURE = 1e-9
"""Probability, in one step, that any buffer of an exchange overflows."""
MULTIPLE = 8
"""Capacities are rounded up to this: the sublanes of a TPU's tile."""


def capacities(
    draws: int,
    hops: Sequence[int],
    rows: int,
    counts: Int[np.ndarray, " head"] | None = None,
    margin: float = 1.25,
) -> tuple[int, ...]:
    """Buffer sizes, in ids per destination, of each hop of an exchange.

    Args:
      draws: ids that a device looks up in one step, padding included.
      hops: destinations of each hop; their product is the number of owners.
      rows: ids of the table.
      counts: how often the train split has each id, from 0; of a long table the first ones do.
      margin: multiplies what is expected by the counts.
    """
    devices, reached, sizes = math.prod(hops), 1, []
    for hop in hops:
        # What arrives at a device after earlier hops are the draws of all that sent to it.
        pooled, owners = draws * reached, reached * hop
        mean = min(pooled, rows) / owners + 1
        if counts is not None:
            mean = min(mean, margin * expected(pooled, owners, rows, counts))
        most = min(-(-rows // owners), pooled)
        size = min(_quantile(mean, FAILURE / (devices * hop)), most)
        sizes.append(-(-max(size, 1) // MULTIPLE) * MULTIPLE)
        reached = owners
    return tuple(sizes)


def arriving(
    draws: int,
    owners: Sequence[int],
    rows: int,
    counts: Int[np.ndarray, " head"] | None = None,
    margin: float = 1.25,
) -> tuple[int, ...]:
    """As `capacities`, of the ids that arrive at an owner from all that ask it (ragged)."""
    devices = math.prod(owners)
    mean = min(draws, rows) / devices + 1
    if counts is not None:
        mean = min(mean, margin * expected(draws, devices, rows, counts))
    most = devices * min(-(-rows // devices), draws)
    size = min(_quantile(devices * mean, FAILURE / devices), most)
    return (-(-max(size, 1) // MULTIPLE) * MULTIPLE,)


def expected(draws: int, owners: int, rows: int, counts: Int[np.ndarray, " head"]) -> float:
    """Distinct ids, of the owner that has most, in this many draws by these counts.

    Ids beyond the counted ones are taken to be as frequent as the last of these, which those of a
    vocabulary ordered by frequency are not more than.
    """
    head = np.array(counts, np.float64)
    head[:1] = 0.0  # PADDING is never asked for
    total = head.sum()
    if total <= 0:
        return min(draws, rows) / owners + 1
    hit = _hit(draws, head / total)
    most = np.bincount(np.arange(len(hit)) % owners, weights=hit, minlength=owners).max()
    rest = -(-max(rows - len(head), 0) // owners)
    return float(most + (rest * hit[-1] if rest else 0.0))


def _hit(draws: int, probability: np.ndarray) -> np.ndarray:
    """1 − (1 − p)ᴺ"""
    return -np.expm1(draws * np.log1p(-np.minimum(probability, 1 - 1e-16)))


def _quantile(mean: float, probability: float) -> int:
    """The least x with P(X > x) ≤ probability by Chernoff's bound."""
    low, high = math.floor(mean), math.ceil(mean) + 1
    wanted = math.log(probability)

    def bound(x: int) -> float:
        return x - mean - x * math.log(x / mean)

    while bound(high + 1) > wanted:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if bound(middle + 1) <= wanted else (middle, high)
    return high
