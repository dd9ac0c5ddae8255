"""What an online store is to the services: values by kind and key, read in batches.

What is in a value is the business of who writes it (history.py, say), not of the store. A value is
whole or not there; each has a version, by which a writer sees that nobody wrote in between.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

HISTORY, ITEM, FEATURES, SHOWN, STATE = "history", "item", "features", "shown", "state"
"""Kinds: a user's events, an item's attributes, features of users, what a user was shown lately,
and what the services keep for themselves."""


@dataclasses.dataclass(frozen=True)
class Value:
    """One value, as read.

    Attributes:
      content: bytes.
      version: grows by each write; compare_and_set asks for it.
    """

    content: bytes
    version: int


class Store(Protocol):
    """A store that is open. May be used from several threads."""

    def read(self, kind: str, keys: Sequence[str]) -> list[Value | None]:
        """Values of the keys, in their order, in one round; None where there is none, or it has
        expired."""
        ...

    def write(self, kind: str, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """Writes all of them over whatever is there. They expire `ttl` seconds from now; None:
        never."""
        ...

    def compare_and_set(
        self,
        kind: str,
        key: str,
        content: bytes,
        version: int | None,
        ttl: float | None = None,
    ) -> bool:
        """Writes one value if it still has the version that was read (None: there was none); False
        if it does not, and nothing is written then."""
        ...

    def delete(self, kind: str, keys: Sequence[str]) -> None:
        """Those that are there are gone."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...
