"""k-core: the events that remain when rare users and items are dropped, again and again."""

import numpy as np


def k_core(
    user: np.ndarray, item: np.ndarray, min_user_events: int, min_item_events: int
) -> tuple[np.ndarray, np.ndarray]:
    """Drops users and items with too few events until none is left that has too few.

    The largest such set of events, so the order of dropping does not matter (Seidman, 1983, for
    the bipartite multigraph of events). Holds all events in memory: 8 bytes each, twice.

    Args:
      user: integer codes from 0, one per event.
      item: likewise.
      min_user_events: events that a user must have to stay.
      min_item_events: events that an item must have to stay.

    Returns:
      Events that remain of each user code, and of each item code: int64.
    """
    users, items = (int(codes.max(initial=-1)) + 1 for codes in (user, item))
    while True:
        user_events = np.bincount(user, minlength=users)
        item_events = np.bincount(item, minlength=items)
        stay = (user_events[user] >= min_user_events) & (item_events[item] >= min_item_events)
        if stay.all():
            return user_events, item_events
        user, item = user[stay], item[stay]
