"""Vectors that were made beforehand for users and items, as the store has them.

Written by `podway predict --store`; who answers with one sees which model made it, and when.
"""

import dataclasses
import struct

import numpy as np

from podway.online.error import StoreError

VECTOR, ITEM_VECTOR = "vector", "item-vector"
"""Kinds: a user's vector, an item's vector."""
_HEADER = struct.Struct("<2sBHdI")  # magic, format, bytes of the model's name, created, width
_MAGIC, _FORMAT = b"pV", 1


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
