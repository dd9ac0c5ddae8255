"""Counts of numbers in buckets of a fixed relative width: small, exact to add up, any range."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

_PER_OCTAVE = 16
"""Buckets between a number and its double: a bucket's ends differ by 4.4 %."""
_SMALLEST = -60 * _PER_OCTAVE
"""Of what is smaller than 2**-60 the bucket is that of 0."""

Histogram = Counter[int]
"""Bucket → how many. Buckets rise as their numbers do; those of negative numbers are below 0."""


def bucket(number: float) -> int:
    """The bucket of a finite number."""
    if number == 0:
        return 0
    at = math.floor(_PER_OCTAVE * math.log2(abs(number))) - _SMALLEST + 1
    return max(0, at) if number > 0 else -max(0, at)


def of(numbers: Iterable[float]) -> Histogram:
    """The histogram of finite numbers."""
    return Counter(map(bucket, numbers))


def quantile(counts: Mapping[int, int], share: float) -> int | None:
    """The lowest bucket with at least this share of the numbers in it or below; None: no number."""
    total, seen = sum(counts.values()), 0
    for at in sorted(counts):
        seen += counts[at]
        if seen >= share * total:
            return at
    return None


def above(counts: Mapping[int, int], at: int) -> int:
    """How many numbers lie in higher buckets."""
    return sum(count for each, count in counts.items() if each > at)


def number(at: int) -> float:
    """The upper end of a bucket; of negative ones the lower end of its absolute value, negative."""
    if at == 0:
        return 0.0
    edge = 2.0 ** ((abs(at) + _SMALLEST - (1 if at < 0 else 0)) / _PER_OCTAVE)
    return edge if at > 0 else -edge
