"""EASE^R: a linear autoencoder in closed form (Steck 2019, arXiv:1905.03375).

Of all matrices B with a diagonal of zeros, that which predicts the users' items X from themselves
best: min ‖X − XB‖² + λ‖B‖². With P = (XᵀX + λI)⁻¹ it is B_ij = −P_ij / P_jj. A user's scores are
the sums of the rows of B of the user's items.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import check
from podway.framework.formats import matrix
from podway.framework.input.dataset import Dataset
from podway.framework.input.interactions import train_matrix
from podway.framework.models.parts.history import item_rows, occurrences
from podway.framework.schema.schema import FIRST_VALUE, Schema
from podway.framework.task import SERVING, Batch, FittedModel, ForwardContext


@dataclasses.dataclass(frozen=True)
class Ease(FittedModel):
    """Linear autoencoder without self-similarity, in closed form; for up to some 20,000 items."""

    regularization: float = 300.0
    """λ, in users: larger for sparser data."""
    max_items: int = 30_000
    """Items up to which it is fitted: the matrix takes 4·items² bytes in the model, several times
    as many while it is fitted, and items³ operations."""

    def __post_init__(self):
        check(
            self.regularization > 0,
            f"model.regularization is {self.regularization}; give more than 0",
        )

    def fit(self, dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
        """Inverts the items' co-occurrences (f64). Raises ConfigError for too many items."""
        items = dataset.schema["item"].size
        check(
            items <= self.max_items,
            f"the dataset has {items:,} items and model.max_items is {self.max_items:,}; the matrix"
            f" would take {4e-9 * items**2:.1f} GB: lower data.max_items, or raise model.max_items",
        )
        seen = train_matrix(dataset)[:, FIRST_VALUE:]
        gram = (seen.T @ seen).toarray()
        gram[np.diag_indices_from(gram)] += self.regularization
        inverse = np.linalg.inv(gram)
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        rows = item_rows(items)
        similarity = np.zeros((rows, rows), np.float32)
        similarity[FIRST_VALUE:items, FIRST_VALUE:items] = weights
        return {"similarity": similarity}

    def build(self, schema: Schema, rngs: nnx.Rngs) -> "Similarity":
        """The module, with a row and a column for each item id."""
        return Similarity(item_rows(schema["item"].size))

    def in_formats(self, schema: Schema) -> tuple[str, ...]:
        """The matrix, of whose rows sums are taken."""
        return ("similarity",)

    def scores(
        self,
        module: "Similarity",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> Float[Array, "batch rows"]:
        """The rows of the user's items, each of which counts once, summed."""
        similarity = module.similarity[...]
        return matrix.mix(occurrences(batch["item"], similarity.shape[0])[0], similarity)


class Similarity(nnx.Module):
    """What an item (row) says about each item (column)."""

    def __init__(self, rows: int):
        self.similarity = nnx.Param(jnp.zeros((rows, rows)))
