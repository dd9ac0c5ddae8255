"""Adds 1 to counters of a store, as often as it is told: one of several processes that do so."""

import json
import sys

from podway.framework import codec
from podway.framework.config import online as config
from podway.online.store.open import open_store
from podway.online.store.store import STATE, Change, Store


def add(store: Store, keys: list[str], times: int) -> None:
    """Each key, as often."""
    left = dict.fromkeys(keys, times)
    while left:
        names = list(left)
        values = store.read(STATE, names)
        changes = [
            Change(key, b"%d" % (int(value.content) + 1 if value else 1), value and value.version)
            for key, value in zip(names, values, strict=True)
        ]
        for key, done in zip(names, store.compare_and_set(STATE, changes), strict=True):
            if done:
                left[key] -= 1
                if not left[key]:
                    del left[key]


if __name__ == "__main__":
    chosen = codec.from_json(config.Online, json.loads(sys.argv[1])).store
    add(open_store(chosen, "", ""), sys.argv[3].split(","), int(sys.argv[2]))
