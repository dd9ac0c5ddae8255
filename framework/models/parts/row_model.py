"""What models that predict labels of rows have in common: inputs, embeddings, losses, evaluator.

Such a model is a dataclass with the fields of RowModel and its own, and an NNX module that makes of
each row's embeddings and numbers one vector of logits, which are dealt out to the labels here.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from podway.framework.config.model import ShardingRules
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.embedding.table import Embedding
from podway.framework.error import check
from podway.framework.heads import Head
from podway.framework.models.parts.columns import Inputs, choose, table_rows
from podway.framework.schema.schema import PADDING, Schema
from podway.framework.task import SERVING, Batch, ForwardContext, LabelModel

INITIAL = 0.01
"""Standard deviation of the first embeddings: small, so that values which training hardly sees add
little noise."""


class RowModule(nnx.Module):
    """The part of such a model's module that reads: a table for each column of ids.

    The part that follows is `__call__(fields [batch, fields, width], numbers [batch, numbers])`,
    which gives the logits of all labels, one after the other, [batch, outputs].
    """

    def __init__(self, inputs: Inputs, width: int, rngs: nnx.Rngs):
        init = nnx.initializers.normal(INITIAL)
        self.ids, self.numbers, self.width = tuple(inputs.ids), tuple(inputs.numbers), width
        self.embeddings = nnx.Dict(
            {
                name: nnx.Embed(table_rows(feature), width, embedding_init=init, rngs=rngs)
                for name, feature in inputs.ids.items()
            }
        )

    def read(
        self, batch: Batch, rows: Mapping[str, EmbeddedRows]
    ) -> tuple[Float[Array, "batch fields width"], Float[Array, "batch numbers"]]:
        """The fields from the rows of their tables, and the numbers, in the order of the inputs."""
        fields = [pool(*rows[name]) for name in self.ids]
        numbers = [batch[name] for name in self.numbers]
        numbers = [column[:, None] if column.ndim == 1 else column for column in numbers]
        batch_size = (fields[0] if fields else numbers[0]).shape[0]
        kind = fields[0].dtype if fields else jnp.float32
        empty = jnp.zeros((batch_size, 0), kind)
        return (
            jnp.stack(fields, axis=1) if fields else empty[:, :, None].repeat(self.width, 2),
            jnp.concatenate([empty, *(column.astype(kind) for column in numbers)], axis=1),
        )


@dataclasses.dataclass(frozen=True)
class RowModel(LabelModel):
    """A model that predicts labels of rows."""

    sharding_rules: ClassVar[ShardingRules] = (
        (r"embeddings/.*/embedding", (("fsdp", "tensor"), None)),
        (r".*", None),
    )
    """Tables are split by rows; layers, which are small and of uneven widths, are whole on every
    device (Naumov et al. 2019, arXiv:1906.00091)."""

    features: tuple[str, ...] = ()
    """Columns to read, "item.brand" for an attribute; (): all but labels."""
    without: tuple[str, ...] = ()
    """Columns to leave out of these."""
    width: int = 16
    """Width of the embeddings."""
    items: Embedding | None = None
    """Keep the items' embeddings as a sparse table, of which a step reads and writes only the rows
    that it needs; None: as an ordinary parameter."""

    def __post_init__(self):
        super().__post_init__()
        check(self.width >= 1, f"model.width is {self.width}; give 1 or more")

    def inputs(self, schema: Schema) -> Inputs:
        """The columns that are read."""
        return choose(schema, self.features, self.without)

    def lengths(self, schema: Schema) -> dict[str, int]:
        """The inputs and the labels."""
        return self.inputs(schema).lengths | self.label_lengths(schema)

    def embeddings(self, schema: Schema) -> dict[str, str]:
        """Those of all ids."""
        return {name: _path(name) for name in self.inputs(schema).ids}

    def in_formats(self, schema: Schema) -> tuple[str, ...]:
        """All tables: they are looked up alone."""
        return tuple(self.embeddings(schema).values())

    def sparse(self, schema: Schema) -> dict[str, Embedding]:
        """The items', where `items` asks for it."""
        if self.items is None:
            return {}
        reads = "item" in self.inputs(schema).ids
        check(reads, "model.items is set, but the model does not read the column item")
        return {_path("item"): self.items}

    def predict(
        self,
        module: Any,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> dict[str, Array]:
        """What the module says of the rows' fields and numbers."""
        return deal_out(self.objectives, module(*module.read(batch, rows)))


def _path(name: str) -> str:
    """Of a column's embedding table."""
    return f"embeddings/{name}/embedding"


def pool(
    values: Float[Array, "batch ... width"], ids: Int[Array, "batch ..."]
) -> Float[Array, "batch width"]:
    """One vector per row: of a list the mean. PADDING, which means missing, counts as zeros."""
    there = (ids != PADDING)[..., None]
    values = jnp.where(there, values, 0)
    if ids.ndim == 1:
        return values
    return values.sum(1) / jnp.maximum(there.sum(1), 1).astype(values.dtype)


def deal_out(objectives: Sequence[Head], logits: Float[Array, "batch outputs"]) -> dict[str, Array]:
    """The logits of each label, f32."""
    found, start = {}, 0
    logits = logits.astype(jnp.float32)
    for head in objectives:
        own = logits[:, start : start + head.outputs]
        found[head.label] = own[:, 0] if head.outputs == 1 else own
        start += head.outputs
    return found


class Mlp(nnx.Module):
    """Linear layers, each followed by ReLU: [batch, inputs] → [batch, widths[-1]]."""

    def __init__(self, inputs: int, widths: Sequence[int], rngs: nnx.Rngs):
        sizes = [inputs, *widths]
        init = nnx.initializers.he_normal()
        self.layers = nnx.List(
            [
                nnx.Linear(before, after, kernel_init=init, rngs=rngs)
                for before, after in itertools.pairwise(sizes)
            ]
        )

    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        """All layers."""
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return x
