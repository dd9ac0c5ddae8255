"""Logits a part at a time: positions in chunks, rows of the table in blocks."""

import dataclasses
from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array

from podway.framework.devices import hardware, mesh

CHUNK_ELEMENTS = {"cpu": 1 << 20, "gpu": 1 << 26, "tpu": 1 << 26}
"""Logits that exist at once on a device, by platform: on a CPU so few that its cache holds them, on
a GPU the least."""

GPU_SHARE = 96
"""A GPU has room for a logit at once for so many bytes that a program may use, rounded down to a
power of two: 2³⁰ of an H200's. Each chunk reads and writes the table's whole gradient."""


def elements(devices: jax.sharding.Mesh | None) -> int:
    """Logits that may exist at once on all devices that share a batch."""
    first = devices.devices.flat[0] if devices else jax.local_devices()[0]
    most = CHUNK_ELEMENTS[first.platform]
    if first.platform == "gpu":
        room = max(1, hardware.memory(first) // GPU_SHARE)
        most = max(most, 1 << room.bit_length() - 1)
    return most * (mesh.batch_parts(devices) if devices else 1)


@dataclasses.dataclass(frozen=True)
class Chunks:
    """So many positions of each example at a time; the last chunk is padded.

    Attributes:
      length: positions.
      size: of them in a chunk.
    """

    length: int
    size: int

    @classmethod
    def of(cls, length: int, most: int) -> Self:
        """The fewest chunks of at most so many positions (one at least), as even as can be.

        What they are padded by is computed for nothing.
        """
        count = -(-length // max(1, min(length, most)))
        return cls(length, -(-length // count))

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return -(-self.length // self.size)

    def cut(self, x: Array) -> Array:
        """[batch, length, …] → [count, batch, size, …]."""
        missing = self.count * self.size - self.length
        x = jnp.pad(x, [(0, 0), (0, missing)] + [(0, 0)] * (x.ndim - 2))
        return jnp.moveaxis(x.reshape(len(x), self.count, self.size, *x.shape[2:]), 1, 0)

    def joined(self, x: Array) -> Array:
        """The inverse of `cut`."""
        x = jnp.moveaxis(x, 0, 1)
        return x.reshape(len(x), self.count * self.size, *x.shape[3:])[:, : self.length]


def blocks_of(rows: int, excess: float) -> int:
    """The fewest equal blocks of so many rows of which one has a share of at most 1 / excess."""
    return next((n for n in range(1, rows + 1) if rows % n == 0 and n >= excess), rows)


def scaled(gradients: tuple[Array, ...], cotangent: Array) -> tuple[Any, ...]:
    """What a backward pass has to do where the forward pass has computed the gradients."""
    return tuple((cotangent * each).astype(each.dtype) for each in gradients)
