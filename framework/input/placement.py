"""Batches on the devices: which rows of them a process reads, and how they get there."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from podway.framework.devices import mesh
from podway.framework.input.columns import Arrays


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the rows of a global batch lie.

    Attributes:
      sharding: of the batch's first dimension.
      batch_size: rows of the global batch.
    """

    sharding: jax.sharding.NamedSharding
    batch_size: int

    @property
    def rows(self) -> tuple[tuple[int, int], ...]:
        """Rows (start, stop) of the global batch that this process's devices hold, rising.

        They need not be in one piece: how devices are laid out in the mesh is JAX's choice.
        """
        places = self.sharding.addressable_devices_indices_map((self.batch_size,)).values()
        pieces: list[tuple[int, int]] = []
        for start, stop in sorted({self._range(place) for place in places if place}):
            if pieces and pieces[-1][1] == start:
                start = pieces.pop()[0]
            pieces.append((start, stop))
        return tuple(pieces)

    def __call__(self, batch: Arrays) -> dict[str, jax.Array]:
        """Puts the rows `self.rows`, one after another in `batch`, on this process's devices.

        Returns global arrays [batch_size, …], once they are there.
        """
        held = np.concatenate([np.arange(*piece) for piece in self.rows])

        def put(array: np.ndarray) -> jax.Array:
            def part(index: Any) -> np.ndarray:
                start, stop = self._range(index)
                at = int(np.searchsorted(held, start))
                return array[at : at + stop - start]

            shape = (self.batch_size, *array.shape[1:])
            return jax.make_array_from_callback(shape, self.sharding, part)

        return jax.block_until_ready({name: put(array) for name, array in batch.items()})

    def _range(self, index: Any) -> tuple[int, int]:
        start, stop, _ = index[0].indices(self.batch_size)
        return start, stop


def examples_placer(devices: jax.sharding.Mesh | None) -> Callable[[np.ndarray], Any]:
    """A function that lays an array, which every process has, on the devices, to be evaluated.

    Its rows are split over all where they divide. Without devices it stays as it is.
    """

    def place(array: np.ndarray) -> Any:
        if devices is None:
            return array
        sharding = mesh.examples_sharding(devices, len(array))
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return place
