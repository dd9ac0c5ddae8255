"""A history and further events: what it is then, and which of them it did not have."""

import dataclasses
from collections.abc import Iterable
from typing import Literal

from podway.online.error import StoreError
from podway.online.store import columns
from podway.online.store import history as histories
from podway.online.store.columns import Columns
from podway.online.store.history import EMPTY, Entry
from podway.online.store.store import Value

Duplicates = Literal["keep", "drop"]


@dataclasses.dataclass(frozen=True, slots=True)
class Extended:
    """A user's history with further events.

    Attributes:
      columns: what it is then.
      added: of the further events, those that it has now and had not before.
      changed: whether it is another one.
    """

    columns: Columns
    added: frozenset[Entry]
    changed: bool


def extend(
    user: str, value: Value | None, entries: Iterable[Entry], most: int, duplicates: Duplicates
) -> Extended:
    """Extends what the store has by events in any order. Raises StoreError: it has no history.

    Args:
      user: whose.
      value: as read.
      entries: of the further events.
      most: events that are kept, the latest.
      duplicates: of events of one time and item, "drop" all but one.
    """
    if value is None:
        after = histories.kept(EMPTY, entries, most, duplicates)
        return Extended(histories.as_columns(after), frozenset(after.entries), bool(after))
    try:
        held = columns.parse(value.content)
        entries = list(entries)
        # Most events are later than all that came before: no look at those is needed.
        further = entries
        if len(entries) > 1:
            further = histories.kept(EMPTY, entries, most, duplicates).entries
        after = columns.appended(held, further, most) if further else None
        if after is not None:
            return Extended(after, frozenset(further), True)
        before = histories.unpack(value.content)
    except StoreError as error:
        raise StoreError(f"the user {user!r}: {error}") from error
    merged = histories.kept(before, entries, most, duplicates)
    if merged == before:
        return Extended(held, frozenset(), False)
    added = frozenset(merged.entries) - frozenset(before.entries)
    return Extended(histories.as_columns(merged), added, True)
