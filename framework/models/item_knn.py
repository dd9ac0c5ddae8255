"""ItemKNN: items that the same users had (Sarwar et al. 2001; Deshpande & Karypis 2004).

The similarity of two items is the cosine of their sets of users, shrunk towards 0 where few users
are behind it: common / (√(users of the one · users of the other) + shrinkage). A user's score of an
item is its sum over the user's items of which it is among the most similar ones.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from scipy import sparse

from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import check
from podway.framework.input.dataset import Dataset
from podway.framework.input.interactions import train_matrix
from podway.framework.models.parts.history import occurrences
from podway.framework.models.parts.neighbours import Neighbours, strongest
from podway.framework.schema.schema import Schema
from podway.framework.task import SERVING, Batch, FittedModel, ForwardContext


@dataclasses.dataclass(frozen=True)
class ItemKnn(FittedModel):
    """The most similar items to those of the user, by shrunk cosine."""

    neighbours: int = 100
    """Most similar items that are kept of each item."""
    shrinkage: float = 10.0
    """Added to the cosine's denominator, in users: pairs with few users in common count less."""

    def __post_init__(self):
        check(self.neighbours >= 1, f"model.neighbours is {self.neighbours}; give 1 or more")
        check(self.shrinkage >= 0, f"model.shrinkage is {self.shrinkage}; give 0 or more")

    def fit(self, dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
        """Compares the items' sets of users."""
        return strongest(cosine(train_matrix(dataset), self.shrinkage), self.neighbours)

    def build(self, schema: Schema, rngs: nnx.Rngs) -> Neighbours:
        """The module, with the neighbours of each item id."""
        return Neighbours(schema, self.neighbours)

    def in_formats(self, schema: Schema) -> tuple[str, ...]:
        """The neighbours' weights, which are looked up."""
        return ("weights",)

    def scores(
        self,
        module: Neighbours,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> Float[Array, "batch rows"]:
        """Similarities to the user's items, each of which counts once."""
        history = batch["item"]
        return module.sum(history, occurrences(history, module.ids.shape[0])[1])


def cosine(seen: sparse.csr_matrix, shrinkage: float) -> sparse.csr_matrix:
    """Shrunk cosine of the columns of a 0/1 matrix [users, items]; 0 on the diagonal."""
    common = sparse.csr_matrix(seen.T @ seen)
    users = common.diagonal()
    row = np.repeat(np.arange(len(users)), np.diff(common.indptr))
    common.data /= np.sqrt(users[row] * users[common.indices]) + shrinkage
    common.setdiag(0)
    common.eliminate_zeros()
    return common
