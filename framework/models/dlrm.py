"""DLRM: deep learning recommendation model (Naumov et al. 2019, arXiv:1906.00091).

A bottom MLP turns the numbers into one more vector of the embeddings' width; the dot products of
all pairs of vectors, beside that vector, go through a top MLP.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from podway.framework.error import check
from podway.framework.models.parts.row_model import Mlp, RowModel, RowModule
from podway.framework.schema.schema import Schema


@dataclasses.dataclass(frozen=True)
class Dlrm(RowModel):
    """Bottom MLP of the numbers, pairwise dot products with the embeddings, top MLP."""

    bottom: tuple[int, ...] = (64,)
    """Widths of the bottom MLP's layers before the last, which is as wide as the embeddings."""
    top: tuple[int, ...] = (128, 64)
    """Widths of the top MLP's layers before the logits."""

    def __post_init__(self):
        super().__post_init__()
        for field in ("bottom", "top"):
            widths = getattr(self, field)
            check(min(widths, default=1) >= 1, f"model.{field} is {widths}; give widths from 1")

    def build(self, schema: Schema, rngs: nnx.Rngs) -> "Interactions":
        """The module, sized by the schema's inputs."""
        return Interactions(self, schema, rngs)


class Interactions(RowModule):
    """Embeddings, bottom MLP, dot products, top MLP."""

    def __init__(self, config: Dlrm, schema: Schema, rngs: nnx.Rngs):
        inputs = config.inputs(schema)
        check(
            bool(inputs.numbers),
            "DLRM's bottom MLP reads numbers, and model.features has none: add one, or take Dcn",
        )
        super().__init__(inputs, config.width, rngs)
        vectors = len(inputs.ids) + 1
        pairs = vectors * (vectors - 1) // 2
        self.bottom = Mlp(inputs.width, (*config.bottom, config.width), rngs)
        self.top = Mlp(config.width + pairs, config.top, rngs)
        self.answer = nnx.Linear((config.width + pairs, *config.top)[-1], config.outputs, rngs=rngs)

    def __call__(
        self, fields: Float[Array, "batch fields width"], numbers: Float[Array, "batch numbers"]
    ) -> Float[Array, "batch outputs"]:
        """Logits of all labels."""
        dense = self.bottom(numbers)
        vectors = jnp.concatenate([dense[:, None], fields], axis=1)
        products = jnp.einsum("bid,bjd->bij", vectors, vectors)
        later, earlier = np.tril_indices(vectors.shape[1], -1)
        return self.answer(self.top(jnp.concatenate([dense, products[:, later, earlier]], axis=1)))
