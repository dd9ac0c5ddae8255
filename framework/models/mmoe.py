"""MMoE: multi-gate mixture of experts (Ma et al. 2018, "Modeling task relationships in multi-task
learning with multi-gate mixture-of-experts", KDD).

All labels share the experts, which are MLPs of a row's embeddings and numbers; each label weighs
them by a softmax gate of its own, and makes its logits of the sum by a tower of its own.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from podway.framework.error import check
from podway.framework.models.parts.row_model import Mlp, RowModel, RowModule
from podway.framework.schema.schema import Schema


@dataclasses.dataclass(frozen=True)
class Mmoe(RowModel):
    """Experts that all labels share, and a gate and a tower for each label."""

    experts: int = 4
    """Experts."""
    expert: tuple[int, ...] = (128, 64)
    """Widths of an expert's layers."""
    tower: tuple[int, ...] = (32,)
    """Widths of a tower's layers before the logits."""

    def __post_init__(self):
        super().__post_init__()
        check(self.experts >= 1, f"model.experts is {self.experts}; give 1 or more")
        check(
            min(self.expert, default=0) >= 1,
            f"model.expert is {self.expert}; give one or more widths from 1",
        )
        check(min(self.tower, default=1) >= 1, f"model.tower is {self.tower}; give widths from 1")

    def build(self, schema: Schema, rngs: nnx.Rngs) -> "MixtureOfExperts":
        """The module, sized by the schema's inputs."""
        return MixtureOfExperts(self, schema, rngs)


class MixtureOfExperts(RowModule):
    """Embeddings, experts, a gate and a tower per label."""

    def __init__(self, config: Mmoe, schema: Schema, rngs: nnx.Rngs):
        inputs = config.inputs(schema)
        super().__init__(inputs, config.width, rngs)
        width = config.width * len(inputs.ids) + inputs.width
        self.experts = stacked(width, config, rngs)
        self.gates = nnx.List(
            [nnx.Linear(width, config.experts, rngs=rngs) for _ in config.objectives]
        )
        self.towers = nnx.List([Mlp(config.expert[-1], config.tower, rngs) for _ in self.gates])
        last = (config.expert[-1], *config.tower)[-1]
        self.answers = nnx.List(
            [nnx.Linear(last, head.outputs, rngs=rngs) for head in config.objectives]
        )

    def __call__(
        self, fields: Float[Array, "batch fields width"], numbers: Float[Array, "batch numbers"]
    ) -> Float[Array, "batch outputs"]:
        """Logits of all labels."""
        x = jnp.concatenate([fields.reshape(fields.shape[0], -1), numbers], axis=1)
        graph, parameters = nnx.split(self.experts)
        experts = jax.vmap(lambda each: nnx.merge(graph, each)(x), out_axes=1)(parameters)
        logits = []
        for gate, tower, answer in zip(self.gates, self.towers, self.answers, strict=True):
            mixed = jnp.einsum("be,beh->bh", jax.nn.softmax(gate(x)), experts)
            logits.append(answer(tower(mixed)))
        return jnp.concatenate(logits, axis=1)


def stacked(inputs: int, config: Mmoe, rngs: nnx.Rngs) -> Mlp:
    """All experts as one, each parameter [experts, …]; each is drawn for itself."""

    @nnx.split_rngs(splits=config.experts)
    @nnx.vmap(in_axes=(0,), out_axes=0)
    def build(rngs: nnx.Rngs) -> Mlp:
        return Mlp(inputs, config.expert, rngs)

    return build(rngs)
