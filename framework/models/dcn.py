"""DCN-v2: deep & cross network (Wang et al. 2021, arXiv:2008.13535).

A row's embeddings and numbers, one after the other, are x₀; each cross layer multiplies it with a
linear map of what the layer before it gave, x ← x₀ ⊙ (W x + b) + x, so that l layers hold products
of up to l + 1 inputs. W is full, or of low rank, U Vᵀ. A deep part is put on top or beside.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from podway.framework.error import check
from podway.framework.models.parts.row_model import Mlp, RowModel, RowModule
from podway.framework.schema.schema import Schema


@dataclasses.dataclass(frozen=True)
class Dcn(RowModel):
    """Cross layers over all inputs, with a deep part on top or beside."""

    layers: int = 3
    """Cross layers."""
    rank: int | None = None
    """Rank of a cross layer's matrix; None: it is full."""
    deep: tuple[int, ...] = (128, 64)
    """Widths of the deep part's layers; (): none."""
    structure: Literal["stacked", "parallel"] = "stacked"
    """Whether the deep part reads what the cross layers give, or the inputs, to stand beside."""

    def __post_init__(self):
        super().__post_init__()
        check(self.layers >= 1, f"model.layers is {self.layers}; give 1 or more")
        check(self.rank is None or self.rank >= 1, f"model.rank is {self.rank}; give 1 or more")
        check(min(self.deep, default=1) >= 1, f"model.deep is {self.deep}; give widths from 1")

    def build(self, schema: Schema, rngs: nnx.Rngs) -> "DeepAndCross":
        """The module, sized by the schema's inputs."""
        return DeepAndCross(self, schema, rngs)


class DeepAndCross(RowModule):
    """Embeddings, cross layers, deep layers."""

    def __init__(self, config: Dcn, schema: Schema, rngs: nnx.Rngs):
        inputs = config.inputs(schema)
        super().__init__(inputs, config.width, rngs)
        width = config.width * len(inputs.ids) + inputs.width
        self.cross = nnx.List([Cross(width, config.rank, rngs) for _ in range(config.layers)])
        self.deep = Mlp(width, config.deep, rngs)
        self.parallel = config.structure == "parallel"
        out = (width, *config.deep)[-1] + (width if self.parallel else 0)
        self.answer = nnx.Linear(out, config.outputs, rngs=rngs)

    def __call__(
        self, fields: Float[Array, "batch fields width"], numbers: Float[Array, "batch numbers"]
    ) -> Float[Array, "batch outputs"]:
        """Logits of all labels."""
        first = x = jnp.concatenate([fields.reshape(fields.shape[0], -1), numbers], axis=1)
        for layer in self.cross:
            x = layer(first, x)
        if self.parallel:
            return self.answer(jnp.concatenate([x, self.deep(first)], axis=1))
        return self.answer(self.deep(x))


class Cross(nnx.Module):
    """x₀ ⊙ (W x + b) + x, with W = U Vᵀ where a rank is given."""

    def __init__(self, width: int, rank: int | None, rngs: nnx.Rngs):
        self.inner = None if rank is None else nnx.Linear(width, rank, use_bias=False, rngs=rngs)
        self.outer = nnx.Linear(width if rank is None else rank, width, rngs=rngs)

    def __call__(
        self, first: Float[Array, "batch inputs"], x: Float[Array, "batch inputs"]
    ) -> Float[Array, "batch inputs"]:
        """One layer."""
        return first * self.outer(x if self.inner is None else self.inner(x)) + x
