"""What an online store is to the services: values by kind and key, read in batches.

What is in a value is the business of who writes it (history.py, say), not of the store. A value is
whole or not there; each has a version, by which a writer sees that nobody wrote in between.
"""

import dataclasses
import os
import struct
from collections.abc import Mapping, Sequence
from typing import Protocol

from podway.online.error import StoreError

HISTORY, ITEM, FEATURES, SHOWN, STATE = "history", "item", "features", "shown", "state"
"""Kinds: a user's events, an item's attributes, features of users, what a user was shown lately,
and what the services keep for themselves."""

FORMAT = 1
"""How the stores lie in their backends. What a store holds says it; another one is refused."""


@dataclasses.dataclass(frozen=True)
class Value:
    """One value, as read.

    Attributes:
      content: bytes.
      version: another one at each write, and never that of an earlier value, also where this was
        deleted or has expired; compare_and_set asks for it.
    """

    content: bytes
    version: int


@dataclasses.dataclass(frozen=True)
class Change:
    """What compare_and_set is to write.

    Attributes:
      key: of the value.
      content: its new content.
      version: that was read; None: there was none.
    """

    key: str
    content: bytes
    version: int | None


class Store(Protocol):
    """A store that is open. May be used from several threads. Each method raises StoreError where
    the store does not answer in the time of its config."""

    def read(self, kind: str, keys: Sequence[str]) -> list[Value | None]:
        """Values of the keys, in their order, in one round; None where there is none, or it has
        expired."""
        ...

    def write(self, kind: str, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """Writes all of them over whatever is there. They expire `ttl` seconds from now; None:
        never."""
        ...

    def compare_and_set(
        self, kind: str, changes: Sequence[Change], ttl: float | None = None
    ) -> list[bool]:
        """Writes each value that still has the version that was read; says of each whether it did.
        Of the others nothing is written. Many are one round, and each is for itself; no key is
        there twice."""
        ...

    def delete(self, kind: str, keys: Sequence[str]) -> None:
        """Those that are there are gone."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...


def new_version() -> int:
    """63 random bits, above 0: no two writes have the same."""
    return (int.from_bytes(os.urandom(8), "little") >> 1) or 1


def new_versions(count: int) -> list[int]:
    """So many of them, at once."""
    drawn = struct.unpack(f"<{count}Q", os.urandom(8 * count))
    return [(each >> 1) or 1 for each in drawn]


def check_format(where: str, found: int) -> None:
    """Raises StoreError for a store that another format wrote."""
    if found != FORMAT:
        remedy = "upgrade Podway" if found > FORMAT else "fill a new one"
        raise StoreError(
            f"{where} holds a store of format {found}, and this Podway reads and writes format"
            f" {FORMAT}: {remedy}, or name another place in online.store"
        )
