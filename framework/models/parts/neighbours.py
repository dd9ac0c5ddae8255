"""What nearest-neighbour models have in common: each item's strongest neighbours, and their sum."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from scipy import sparse

from podway.framework.formats import matrix
from podway.framework.models.parts.history import item_rows
from podway.framework.schema.schema import Schema


class Neighbours(nnx.Module):
    """Per item id the ids of its neighbours and their weights; of weight 0 where there are fewer.

    Attributes:
      ids: i32 [rows, neighbours].
      weights: f32 [rows, neighbours].
    """

    def __init__(self, schema: Schema, count: int):
        rows = item_rows(schema["item"].size)
        shape = (rows, min(count, rows))
        self.ids = nnx.Param(jnp.zeros(shape, jnp.int32))
        self.weights = nnx.Param(jnp.zeros(shape, jnp.float32))

    def sum(
        self, item: Int[Array, "batch length"], weight: Float[Array, "batch length"]
    ) -> Float[Array, "batch rows"]:
        """Each row's weight as a neighbour of the items, summed over these with their weights.

        One place of the histories after the other, so that memory does not grow with their length.
        """
        ids, weights = self.ids[...], self.weights[...]
        batch = jnp.arange(item.shape[0])[:, None]

        def add(scores: Array, place: tuple[Array, Array]) -> tuple[Array, None]:
            item, weight = place
            return scores.at[batch, ids[item]].add(
                weight[:, None] * matrix.rows(weights, item)
            ), None

        scores = jnp.zeros((item.shape[0], ids.shape[0]))
        return jax.lax.scan(add, scores, (item.T, weight.T))[0]


def strongest(similarity: sparse.csr_matrix, count: int) -> dict[str, np.ndarray]:
    """The `count` largest values of each row, as the parameters of Neighbours.

    Equal values count by rising id. `similarity` is [items, items], row = the item that is known.
    """
    items, data = len(similarity.indptr) - 1, np.asarray(similarity.data, np.float64)
    rows = item_rows(items)
    shape = (rows, min(count, rows))
    row = np.repeat(np.arange(items), np.diff(similarity.indptr))
    order = np.lexsort((similarity.indices, -data, row))
    place = np.arange(len(row)) - similarity.indptr[row]
    keep = place < shape[1]
    at = (row[keep], place[keep])
    ids, weights = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    ids[at], weights[at] = similarity.indices[order][keep], data[order][keep]
    return {"ids": ids, "weights": weights}
