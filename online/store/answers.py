"""Lists that were made beforehand for users, as the store has them.

    store.write(LIST, {"u7": pack_list("5f7c…", created, [("i3", 1.5), ("i9", 1.25)])})
    unpack_list(value.content).items

Written by `podway predict --store`; who answers with it sees which model made it, and when.
"""

import dataclasses
import json
import math
from collections.abc import Sequence

from podway.online.error import StoreError

LIST = "list"
"""Kind of a user's list of items."""


@dataclasses.dataclass(frozen=True)
class Listed:
    """A list that was made beforehand.

    Attributes:
      model: version of what made it.
      created: seconds since 1970 when it was made.
      items: with their scores, best first.
    """

    model: str
    created: float
    items: tuple[tuple[str, float], ...]


def pack_list(model: str, created: float, items: Sequence[tuple[str, float]]) -> bytes:
    """A list as the store has it. Raises StoreError: a score is no number."""
    if not all(math.isfinite(score) for _, score in items):
        raise StoreError(f"a score of {model} is not finite: {[*items][:3]}; train it anew")
    said = {"model": model, "created": round(created, 3), "items": [list(each) for each in items]}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def unpack_list(content: bytes) -> Listed:
    """A list. Raises StoreError: it is none."""
    try:
        said = json.loads(content)
        items = tuple((str(item), float(score)) for item, score in said["items"])
        return Listed(str(said["model"]), float(said["created"]), items)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the store holds no list here, but {content[:40]!r}: {error}") from error
