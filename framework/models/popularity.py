"""Popularity: everybody gets the items with most training events. What any model must beat."""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.input.dataset import Dataset
from podway.framework.input.interactions import target_counts
from podway.framework.models.parts.history import item_rows
from podway.framework.schema.schema import Schema
from podway.framework.task import SERVING, Batch, FittedModel, ForwardContext


@dataclasses.dataclass(frozen=True)
class Popularity(FittedModel):
    """Scores an item by its training events that may be targets."""

    def fit(self, dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
        """Counts the training events that may be targets."""
        counts = np.zeros(item_rows(dataset.schema["item"].size), np.float32)
        known = target_counts(dataset)
        counts[: len(known)] = known
        return {"counts": counts}

    def build(self, schema: Schema, rngs: nnx.Rngs) -> "Counts":
        """The module, with a count for each item id."""
        return Counts(item_rows(schema["item"].size))

    def scores(
        self,
        module: "Counts",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> Float[Array, "batch rows"]:
        """The counts, whatever the history."""
        counts = module.counts[...]
        return jnp.broadcast_to(counts, (batch["item"].shape[0], counts.shape[0]))


class Counts(nnx.Module):
    """Training events by item id."""

    def __init__(self, rows: int):
        self.counts = nnx.Param(jnp.zeros(rows))
