"""Sequential nearest neighbours: items that followed the user's latest items in other histories.

After session-based nearest neighbours and item-to-item transitions (Ludewig & Jannach 2018,
arXiv:1803.09587). The similarity of item j to item i is Σ 1/d over the places where j comes d ≤
window steps after i, over the square root of both items' counts; a user's score of j is its sum
over the latest items, each weighted by decay^age.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from scipy import sparse

from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import check
from podway.framework.input.batches import Ragged
from podway.framework.input.dataset import Dataset
from podway.framework.input.interactions import train_histories
from podway.framework.models.parts.history import last, latest_of
from podway.framework.models.parts.neighbours import Neighbours, strongest
from podway.framework.schema.schema import FIRST_VALUE, Schema
from podway.framework.task import SERVING, Batch, FittedModel, ForwardContext


@dataclasses.dataclass(frozen=True)
class SequenceKnn(FittedModel):
    """Items that followed the user's latest items within a few steps, in other histories."""

    window: int = 10
    """Steps within which an item counts as following another."""
    latest: int = 10
    """Items of a history that are looked at."""
    decay: float = 0.8
    """Weight of each next older item, relative to the one after it."""
    neighbours: int = 1000
    """Items that are kept of those that followed an item, the most similar ones."""

    def __post_init__(self):
        for field in ("window", "latest", "neighbours"):
            value = getattr(self, field)
            check(value >= 1, f"model.{field} is {value}; give 1 or more")
        check(
            0 < self.decay <= 1,
            f"model.decay is {self.decay}; give a factor above 0, up to 1",
        )

    def fit(self, dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
        """Counts the pairs within `window` steps in the training histories."""
        histories = train_histories(dataset)
        following = similarities(histories, dataset.schema["item"].size, self.window)
        return strongest(following, self.neighbours)

    def build(self, schema: Schema, rngs: nnx.Rngs) -> Neighbours:
        """The module, with the followers of each item id."""
        return Neighbours(schema, self.neighbours)

    def reads(self, schema: Schema, batch: Batch) -> Batch:
        """The latest items of each history."""
        return {"item": latest_of(batch["item"], batch["item"], self.latest)}

    def scores(
        self,
        module: Neighbours,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> Float[Array, "batch rows"]:
        """Similarities to the latest items, weighted by age."""
        item = batch["item"]
        age = last(item)[:, None] - jnp.arange(item.shape[1])
        return module.sum(item, jnp.where(age >= 0, self.decay**age, 0.0))


def similarities(histories: Ragged, items: int, window: int) -> sparse.csr_matrix:
    """f64 [items, items], row = the earlier item."""
    values = histories.values
    owner = np.repeat(np.arange(len(histories.offsets) - 1), np.diff(histories.offsets))
    total = sparse.csr_matrix((items, items))
    for distance in range(1, window + 1):
        earlier, later = values[:-distance], values[distance:]
        pair = (owner[:-distance] == owner[distance:]) & (earlier >= FIRST_VALUE)
        pair &= later >= FIRST_VALUE
        weight = np.full(int(pair.sum()), 1.0 / distance)
        total += sparse.csr_matrix((weight, (earlier[pair], later[pair])), shape=(items, items))
    scale = sparse.diags_array(np.maximum(np.bincount(values, minlength=items), 1) ** -0.5)
    return sparse.csr_matrix(scale @ total @ scale)
