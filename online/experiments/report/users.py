"""Events → one row for each user: the unit that was assigned is the unit that is counted.

A user's outcome is counted from when the user first saw the arm; what the same user did before the
trial began is the covariate, so each user is held against itself.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from podway.online.experiments.report.events import Seen

_DAY = 86_400.0


@dataclasses.dataclass(frozen=True)
class Users:
    """Of one trial.

    Attributes:
      arm: index of each user's arm.
      after: each user's outcome in the trial.
      before: each user's outcome before it; None: there are no events from then.
      crossed: users who saw more than one arm, and are left out.
      others: arms that were seen and are not the trial's → users.
      begun: seconds since 1970 of the first exposure.
    """

    arm: np.ndarray
    after: np.ndarray
    before: np.ndarray | None
    crossed: int
    others: dict[str, int]
    begun: float


def users(
    seen: Seen,
    arms: Sequence[str],
    *,
    days: float = math.inf,
    before_days: float = 14.0,
    any_outcome: bool = False,
) -> Users:
    """One row for each user who saw one arm of the trial.

    Args:
      seen: the events.
      arms: names, the control first.
      days: after the first exposure that outcomes count.
      before_days: before the trial's first exposure that outcomes are the covariate.
      any_outcome: count 1 for a user with any outcome above 0, in place of the sum.
    """
    place = {name: at for at, name in enumerate(arms)}
    first: dict[str, float] = {}
    arm: dict[str, int] = {}
    crossed, others = 0, Counter[str]()
    for user, saw in seen.arms.items():
        if len(saw) > 1:
            crossed += 1
            continue
        [(name, time)] = saw.items()
        if name not in place:
            others[name] += 1
            continue
        arm[user], first[user] = place[name], time
    begun = min((t for saw in seen.arms.values() for t in saw.values()), default=math.nan)
    names = list(arm)
    row = {user: at for at, user in enumerate(names)}
    after, before = np.zeros(len(names)), np.zeros(len(names))
    earlier = False
    for user, time, value in seen.outcomes:
        if begun - before_days * _DAY <= time < begun:
            earlier = True
        if (at := row.get(user)) is None:
            continue
        if first[user] <= time < first[user] + days * _DAY:
            after[at] += value
        elif begun - before_days * _DAY <= time < begun:
            before[at] += value
    if any_outcome:
        after = (after > 0).astype(float)
    index = np.fromiter((arm[user] for user in names), np.int64, len(names))
    return Users(index, after, before if earlier else None, crossed, dict(others), begun)
