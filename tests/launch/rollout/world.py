"""Simulated answers of two versions, in blocks, as clients would add them up."""

import dataclasses
from collections import Counter

import numpy as np

from podway.framework.config import Rollout
from podway.launch.rollout import judgement
from podway.launch.rollout.judgement import Judgement
from podway.online.rollout import histogram
from podway.online.rollout.observation import Tally


@dataclasses.dataclass(frozen=True)
class Version:
    """How a version answers.

    Attributes:
      failed: share of requests.
      seconds: median time.
      empty: share of answers.
      score: mean; the standard deviation is 1.
      value: mean of what an answer is worth, 0 or 1.
    """

    failed: float = 0.01
    seconds: float = 0.02
    empty: float = 0.02
    score: float = 3.0
    value: float = 0.3


def tally(random: np.random.Generator, version: Version, requests: int, weather: float) -> Tally:
    """What `requests` see. Bad weather (0 to 1) is failures and delays that hit both versions."""
    failed = random.binomial(requests, min(1.0, version.failed + weather * 0.3))
    seconds = version.seconds * np.exp(random.normal(weather, 0.5, requests))
    scores = random.normal(version.score, 1, requests - failed)
    found = Tally(
        requests=requests,
        failures=Counter({"UNAVAILABLE": int(failed)}) if failed else Counter(),
        empty=int(random.binomial(requests - failed, version.empty)),
        latency=histogram.of(seconds.tolist()),
        scores=histogram.of(scores.tolist()),
        values=requests - int(failed),
        worth=float(random.binomial(requests - failed, version.value)),
    )
    return found


def blocks(seed: int, old: Version, new: Version, count: int, sizes: tuple[int, int] = (200, 40)):
    """Tallies of both versions, a block each, under a weather that they share."""
    random = np.random.default_rng(seed)
    for number in range(count):
        weather = random.random() if random.random() < 0.1 else 0.0
        both = (tally(random, old, sizes[0], weather), tally(random, new, sizes[1], weather))
        yield both if number else (both[0], Tally())  # the old version serves before the new one


def until_return(
    seed: int, plan: Rollout, old: Version, new: Version, count: int
) -> tuple[int | None, Judgement]:
    """The block in which a rollout would go back, None: it would not; and the judgement."""
    seen = judgement.begin(plan)
    for number, (one, other) in enumerate(blocks(seed, old, new, count)):
        seen = judgement.fold(plan, seen, one, other, "canary 0")
        if judgement.is_worse(plan, seen):
            return number, seen
    return None, seen
