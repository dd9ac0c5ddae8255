"""Where a rollout happens: what it may ask of the servers."""

from typing import Protocol

from podway.framework.error import PodwayError
from podway.online.rollout.state import State


class RolloutError(PodwayError):
    """A rollout that cannot begin, go on, or end; the message says why and what would help."""


class Target(Protocol):
    """Servers of a model. Each step may be asked for again, and then does what is left of it."""

    def good(self, version: int) -> int:
        """The version that serves, beside which a new one would.

        Raises PodwayError: there is none.
        """
        ...

    def prepare(self, state: State) -> None:
        """Has the good version answer for the label stable, before clients name it."""
        ...

    def load(self, state: State) -> None:
        """Has the new version loaded beside the good one, for who names the label canary.

        Raises PodwayError: it cannot be loaded.
        """
        ...

    def share(self, state: State) -> None:
        """Gives the new version its share, where that is not the clients' own doing."""
        ...

    def promote(self, state: State) -> None:
        """Has the new version answer all. Raises PodwayError."""
        ...

    def back(self, state: State) -> None:
        """Has the good version answer all, those who name the label canary included."""
        ...

    def clean(self, state: State) -> None:
        """Takes away what only the rollout needed."""
        ...

    def verify(self, state: State) -> str:
        """Asks the servers whether what the state wants is so; says what they answered.

        Raises PodwayError: it is not so, or they do not answer.
        """
        ...
