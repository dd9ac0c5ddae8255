"""How a rollout goes on, from where it stands and what was seen. Pure."""

import dataclasses
from typing import Literal

from podway.launch.rollout import judgement
from podway.launch.rollout.judgement import Judgement
from podway.online.rollout import state as states
from podway.online.rollout.state import State


@dataclasses.dataclass(frozen=True)
class Decision:
    """What to do.

    Attributes:
      action: stay at the share, go on to the next, or go back.
      reason: why, in words.
    """

    action: Literal["stay", "forward", "back"]
    reason: str = ""


def of(state: State, seen: Judgement, now: str) -> Decision:
    """The decision at this moment.

    The new version goes back as soon as there is evidence that it is worse. It goes on after the
    shortest stay, once both versions have had the smallest number of requests; one that nobody
    could judge within the longest stay goes back.
    """
    plan = state.plan
    if judgement.is_worse(plan, seen):
        return Decision("back", judgement.reason(seen))
    stay, here = states.seconds(state.since, now), seen.stage == stage(state)
    requests, compared = (seen.requests, seen.compared) if here else (0, 0)
    if min(requests, compared) >= plan.requests and stay >= plan.shortest_seconds:
        return Decision("forward", judgement.progress(seen))
    if stay >= plan.longest_seconds:
        who = "it" if requests < plan.requests else "the old version"
        return Decision(
            "back",
            f"{who} had {min(requests, compared)} of {plan.requests} requests in"
            f" {plan.longest_seconds:g} s (rollout.longest_seconds)",
        )
    return Decision("stay", f"{requests} of {plan.requests} requests")


def stage(state: State) -> str:
    """Name of the share where a rollout is."""
    return f"{state.phase} {state.stage}"
