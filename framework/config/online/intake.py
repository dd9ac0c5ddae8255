"""Events that clients send to the gateway."""

import dataclasses
from typing import Literal

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Intake:
    """What the gateway takes of events, and how surely."""

    open: bool = True
    """Whether it takes any: who may ask for recommendations may then send events, too."""
    types: tuple[str, ...] = ()
    """That clients may send; empty: all but impression and exposure, which the gateway itself
    publishes."""
    most: int = 500
    """Events of one request."""
    buffer: int = 20_000
    """Events that wait for the queue; beyond, requests are refused, and the client keeps them."""
    acknowledge: Literal["published", "taken"] = "published"
    """What an answer says: that the queue has the events, or that they wait for it in memory,
    which is quicker, and loses them with the process."""
    seconds: float = 5.0
    """A client waits so long for the queue; then it is told to send the events again."""

    def __post_init__(self):
        for name in ("most", "buffer"):
            value = getattr(self, name)
            check(value >= 1, f"gateway.intake.{name} is {value}; give 1 or more")
        check(
            self.most <= self.buffer,
            f"gateway.intake.most is {self.most}, and the buffer of {self.buffer} would never have"
            " room for that: give most no more than buffer",
        )
        check(
            0 < self.seconds <= 60,
            f"gateway.intake.seconds is {self.seconds}; give 0 to 60, above 0",
        )
