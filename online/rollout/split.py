"""Who gets which version: a pure function of a key, so that all clients agree and nobody flips.

A key (a user, a session) has one place between 0 and 1 in each rollout. The new version has all
places below its share: a share that grows takes more keys along, and leaves none behind. The salt
is the rollout's name, so that it is not always the same users who try what is new.
"""

import dataclasses
import hashlib
from typing import Literal

from podway.online.rollout.state import CANARY, STABLE, State

Arm = Literal["stable", "canary", "shadow"]
_PLACES = 1 << 64


@dataclasses.dataclass(frozen=True)
class Split:
    """What clients need to know of a rollout.

    Attributes:
      rollout: its name; "": there is none.
      stable: the version that most get.
      canary: the new one.
      share: of the keys, which get the new one.
      shadow: share of the requests that are copied to the new one.
      value_most: the value of the best answer.
    """

    rollout: str = ""
    stable: int | None = None
    canary: int | None = None
    share: float = 0.0
    shadow: float = 0.0
    value_most: float = 1.0

    def arm(self, key: str) -> Literal["stable", "canary"]:
        """The label of the version that a key gets."""
        return "canary" if place(key, self.rollout) < self.share else "stable"

    def is_copied(self, request: str) -> bool:
        """Whether a request, by whatever tells it from others, is copied to the new version."""
        return place(request, f"{self.rollout} shadow") < self.shadow

    def version(self, arm: Arm) -> int | None:
        """The version on an arm; None: nobody said."""
        return self.stable if arm == "stable" else self.canary


def of(state: State | None) -> Split:
    """The split that a state asks for."""
    if state is None:
        return Split()
    if state.is_over:
        return Split(stable=state.version if state.phase == "stable" else state.good)
    return Split(
        state.rollout,
        state.good,
        state.version,
        state.share,
        state.shadow,
        state.plan.value_most,
    )


def place(key: str, salt: str) -> float:
    """A key's place, at least 0 and below 1; without pattern over keys and over salts."""
    digest = hashlib.blake2b(key.encode(), digest_size=8, key=salt.encode()[:64]).digest()
    # 53 bits: more would round up to 1.
    return (int.from_bytes(digest) >> 11) / (_PLACES >> 11)


def label(arm: Arm) -> str:
    """The label by which a server knows an arm's version."""
    return STABLE if arm == "stable" else CANARY
