"""What was computed beforehand for a user or an item, as the store has it: lists and vectors.

    store.write(LIST, {"u7": pack_list("5f7c…", created, [("i3", 1.5), ("i9", 1.25)])})
    unpack_list(value.content).items

Written by `podway predict --store`; who answers with it sees which model made it, and when.
"""

import dataclasses
import json
import math
import struct
from collections.abc import Sequence

import numpy as np

from podway.online.error import StoreError

LIST, VECTOR, ITEM_VECTOR = "list", "vector", "item-vector"
"""Kinds: a user's list of items, a user's vector, an item's vector."""
_HEADER = struct.Struct("<2sBHdI")  # magic, format, bytes of the model's name, created, width
_MAGIC, _FORMAT = b"pV", 1


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


@dataclasses.dataclass(frozen=True)
class Vector:
    """A vector that was made beforehand.

    Attributes:
      model: version of what made it.
      created: seconds since 1970 when it was made.
      values: f32 [width].
    """

    model: str
    created: float
    values: np.ndarray


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


def pack_vector(model: str, created: float, values: np.ndarray) -> bytes:
    """A vector as the store has it. Raises StoreError: a value is no number."""
    if not np.isfinite(values).all():
        raise StoreError(f"a vector of {model} is not finite; train it anew")
    name = model.encode()
    head = _HEADER.pack(_MAGIC, _FORMAT, len(name), created, len(values))
    return head + name + np.asarray(values, "<f4").tobytes()


def unpack_vector(content: bytes) -> Vector:
    """A vector. Raises StoreError: it is none."""
    try:
        magic, form, length, created, width = _HEADER.unpack_from(content)
        start = _HEADER.size + length
        if (magic, form) != (_MAGIC, _FORMAT) or len(content) != start + 4 * width:
            raise ValueError("it begins or ends otherwise")
        values = np.frombuffer(content, "<f4", offset=start).astype(np.float32)
        return Vector(content[_HEADER.size : start].decode(), created, values)
    except (struct.error, ValueError) as error:
        raise StoreError(
            f"the store holds no vector here, but {content[:40]!r}: {error}"
        ) from error
