"""Evidence that a share is higher in one group than in another, which may be looked at at any time.

Two groups answer in blocks: a second, say, of requests. Of each block it is known how many answers
each group gave and how many of them were bad. The hypothesis is that the second group's share of
bad ones is at most the first's plus a margin, in each block, whatever both are and however they
change together from block to block. The evidence against it is a product of e-values, one a block:

    (q2/p2)^bad2 ((1-q2)/(1-p2))^good2 (q1/p1)^bad1 ((1-q1)/(1-p1))^good1

with shares q that were chosen before the block was seen, and p the point of the hypothesis that is
nearest to them (of the smallest Kullback-Leibler divergence, weighted by the answers of the block).
Its expectation under the hypothesis is at most 1, so the probability that the product ever reaches
1/a is at most a (Ville's inequality). R. Turner, A. Ly, P. Grünwald, "Generic E-variables for exact
sequential k-sample tests that allow for optional stopping", J. Stat. Planning and Inference 230
(2024); margins: R. Turner, P. Grünwald, "Exact anytime-valid confidence intervals for contingency
tables and beyond", Statistics & Probability Letters 198 (2023).

The factors are convex in what an answer counts, so the same holds for sums of numbers between 0 and
1 in place of bad answers. Several q are tried at once, and the mean of their products is taken,
which is evidence of the same kind: some for gaps of a given size, one that learns the gap.
"""

import dataclasses
import math
from collections.abc import Sequence

_GAPS = (0.005, 0.02, 0.08, 0.3, 0.9)
"""Of what is left between the hypothesis and 1: what the second group's share may lie above it."""
_LEAST, _CLOSE = 1e-5, 1e-10


@dataclasses.dataclass(frozen=True)
class Block:
    """Answers of both groups at about the same time.

    Attributes:
      first: how many the first group gave.
      first_bad: how many of them were bad, or a sum of numbers from 0 to 1.
      second: how many the second gave.
      second_bad: as `first_bad`.
    """

    first: float
    first_bad: float
    second: float
    second_bad: float

    def __add__(self, other: "Block") -> "Block":
        return Block(
            self.first + other.first,
            self.first_bad + other.first_bad,
            self.second + other.second,
            self.second_bad + other.second_bad,
        )


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What blocks so far say against the hypothesis.

    Attributes:
      margin: of it.
      logs: logarithm of the product, for each way of choosing q.
      seen: the sum of the blocks.
    """

    margin: float
    logs: tuple[float, ...] = (0.0,) * (len(_GAPS) + 1)
    seen: Block = Block(0, 0, 0, 0)

    @property
    def log(self) -> float:
        """Logarithm of the evidence."""
        return log_mean(self.logs)


def fold(evidence: Evidence, block: Block) -> Evidence:
    """The evidence with one more block."""
    before, logs = evidence.seen, evidence.logs
    if block.first > 0 and block.second > 0:
        guesses = _guesses(before, evidence.margin)
        logs = tuple(
            log if guess is None else log + _log_value(block, before_first, guess, evidence.margin)
            for log, (before_first, guess) in zip(logs, guesses, strict=True)
        )
    return Evidence(evidence.margin, logs, before + block)


def log_mean(logs: Sequence[float]) -> float:
    """Logarithm of the mean of numbers, of which the logarithms are given."""
    most = max(logs)
    return most + math.log(sum(math.exp(each - most) for each in logs) / len(logs))


def _guesses(before: Block, margin: float) -> list[tuple[float, float | None]]:
    """Shares of both groups to hold against the next block; None: no guess lies above."""
    first = _share(before.first_bad, before.first)
    room = 1 - first - margin
    if room <= _LEAST:
        return [(first, None)] * (len(_GAPS) + 1)
    found: list[tuple[float, float | None]] = [
        (first, min(first + margin + gap * room, 1 - _LEAST)) for gap in _GAPS
    ]
    learnt = _share(before.second_bad, before.second)
    found.append((first, learnt if before.second and learnt > first + margin + _LEAST else None))
    return found


def _share(bad: float, of: float) -> float:
    """What a share is likely to be, never quite 0 or 1."""
    return min(max((bad + 0.1) / (of + 0.5), _LEAST), 1 - _LEAST)


def _log_value(block: Block, first: float, second: float, margin: float) -> float:
    weight = block.second / (block.first + block.second)
    near = nearest(first, second, weight, margin)
    return (
        block.second_bad * math.log(second / (near + margin))
        + (block.second - block.second_bad) * math.log((1 - second) / (1 - near - margin))
        + block.first_bad * math.log(first / near)
        + (block.first - block.first_bad) * math.log((1 - first) / (1 - near))
    )


def nearest(first: float, second: float, weight: float, margin: float) -> float:
    """The first group's share of the point of the hypothesis that is nearest to two shares.

    Args:
      first: share of the first group.
      second: share of the second, above first + margin.
      weight: part of the second group in the answers of the block.
      margin: of the hypothesis.
    """
    low, high = first, second - margin
    if margin == 0:
        return (1 - weight) * first + weight * second
    at = (1 - weight) * low + weight * high
    for _ in range(100):
        one, other = at * (1 - at), (at + margin) * (1 - at - margin)
        slope = (1 - weight) * (at - first) / one + weight * (at + margin - second) / other
        if slope > 0:
            high = at
        else:
            low = at
        # The derivative of the slope, which is positive: the divergence is convex.
        curve = (1 - weight) * ((1 - 2 * at) * (first - at) / one + 1) / one + weight * (
            (1 - 2 * (at + margin)) * (second - at - margin) / other + 1
        ) / other
        step = at - slope / curve if curve > 0 else low
        step = step if low < step < high else (low + high) / 2
        if abs(step - at) <= _CLOSE * at:
            break
        at = step
    return at
