"""HSTU: hierarchical sequential transduction units (Zhai et al. 2024, arXiv:2402.17152).

Attention without softmax, so that how much is seen, not only in what proportion, reaches the
output; a gate takes the place of the feed-forward layer. With x the stream, n = norm(x):

  U, V, Q, K = silu(W n)
  A = silu(Q Kᵀ + position bias + time bias) / positions that are seen
  x + W_out (norm(A V) ⊙ U) + b

The position bias is one number for each distance, learned for each layer. The paper divides by the
length of the padded batch; the norm that follows makes these the same but for its ε, and here what
is served does not depend on padding.

The time bias, for `time_buckets`, is one number for each bucket of the seconds from the event that
is seen to the one that sees it. Buckets are as wide as in the published code, which instead counts
to the event after that one: to the one that is to be predicted, whose time no request knows.
"""

import dataclasses
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from podway.framework.config.model import ShardingRules
from podway.framework.error import check
from podway.framework.models.parts import shrink
from podway.framework.models.parts.attention import AttentionMask
from podway.framework.models.parts.causal import CausalModel
from podway.framework.models.parts.transformer import drop
from podway.framework.task import ForwardContext

MOST_BUCKETS = 72
"""Of seconds that i32 can hold."""


@dataclasses.dataclass(frozen=True)
class Hstu(CausalModel):
    """Causal HSTU layers over the user's items."""

    sharding_rules: ClassVar[ShardingRules] = ((r"(.*/)?uvqk/kernel", ("fsdp", "tensor")),)

    time_buckets: int = 0
    """Buckets of the time between two events, each of which has a bias; 0: no time is read. The
    last one holds all that is longer: of 64, what is above five years; 72 are all that there are.
    What is served then takes times beside its histories."""

    def __post_init__(self):
        super().__post_init__()
        check(
            0 <= self.time_buckets <= MOST_BUCKETS,
            f"model.time_buckets is {self.time_buckets}; give 0 to {MOST_BUCKETS}",
        )

    def reads_times(self) -> bool:
        """Where there are buckets for them."""
        return self.time_buckets > 0

    def block_module(self, rngs: nnx.Rngs) -> "Layer":
        """An HSTU layer."""
        return Layer(self.width, self.heads, self.max_length, self.dropout, rngs, self.time_buckets)

    def groups(self, what: shrink.What) -> tuple[shrink.Group, ...]:
        """Layers alone: a norm over all heads would change with each that is left out."""
        return (shrink.Group("blocks", self.blocks),) if what == "layers" else ()

    def left(self, what: shrink.What, counts: tuple[int, ...]) -> Self:
        """See shrink.Shrinkable."""
        return dataclasses.replace(self, blocks=counts[0])


class Layer(nnx.Module):
    """Pointwise attention and a gate, in one residual step.

    Args:
      width: of the stream; heads divide it among themselves.
      heads: of the attention.
      max_length: distances that have a bias.
      dropout: rate before the last product.
      rngs: of the initial values.
      time_buckets: of the time between two positions, that have a bias; 0: there is none.
    """

    keeps_apart = True

    def __init__(
        self,
        width: int,
        heads: int,
        max_length: int,
        dropout: float,
        rngs: nnx.Rngs,
        time_buckets: int = 0,
    ):
        self.heads, self.dropout = heads, dropout
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.uvqk = nnx.Linear(width, 4 * width, use_bias=False, rngs=rngs)
        self.distance = Distance(max_length, rngs)
        self.attention_norm = nnx.LayerNorm(width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.elapsed = Elapsed(time_buckets, rngs) if time_buckets else None

    def __call__(
        self,
        x: Float[Array, "batch length width"],
        attention_mask: AttentionMask,
        context: ForwardContext,
        at: Int[Array, " batch"] | None = None,
    ) -> Float[Array, "batch positions width"]:
        """One layer, of all positions or of the one `at` which each row is asked for.

        Linear layers see (batch·length, width), which XLA multiplies fastest.
        """
        batch, length, width = x.shape
        flat = x.reshape(-1, width)
        uvqk = jax.nn.silu(self.uvqk(self.norm(flat)))
        # A head's four parts lie beside each other, so that heads split along mesh.tensor.
        parts = jnp.moveaxis(uvqk.reshape(batch, length, self.heads, 4, -1), 3, 0)
        gate, (value, query, key) = parts[0], parts[1:].swapaxes(2, 3)
        bias = self.distance(length)
        if self.elapsed is not None:
            assert attention_mask.time is not None, "a model that reads times was given none"
            bias = bias + self.elapsed(attention_mask.time)[:, None]
        attended = attend(query, key, value, bias, attention_mask)
        gated = self.attention_norm(attended.reshape(flat.shape)) * gate.reshape(flat.shape)
        x = (flat + self.out(drop(self.dropout, gated, context.key))).reshape(x.shape)
        return x if at is None else jnp.take_along_axis(x, at[:, None, None], axis=1)


class Distance(nnx.Module):
    """A number for each distance between two positions."""

    def __init__(self, max_length: int, rngs: nnx.Rngs):
        self.bias = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (max_length,)))

    def __call__(self, length: int) -> Float[Array, "length length"]:
        """At [q, k], that of the distance q − k; of those ahead, that of none. f32."""
        return by_distance(self.bias[...][:length].astype(jnp.float32))


def by_distance(bias: Float[Array, " length"]) -> Float[Array, "length length"]:
    """At [q, k], bias[max(q − k, 0)].

    A matrix that is constant along its diagonals is a row written again and again, each time one
    place later. So its gradient is a sum over rows, in the order of the program; that of a gather
    is a scatter, which on a GPU takes ten times as long as all else that a layer does.
    """
    length = len(bias)
    ahead = jnp.broadcast_to(bias[:1], (length,))
    row = jnp.concatenate([bias[:1], ahead, bias[:0:-1]])  # at (k − q) mod 2·length
    again = jnp.broadcast_to(row, (length, 2 * length)).reshape(-1)
    return again[: length * (2 * length - 1)].reshape(length, -1)[:, :length]


class Elapsed(nnx.Module):
    """A number for each bucket of the time between two positions."""

    def __init__(self, buckets: int, rngs: nnx.Rngs):
        self.bias = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (buckets,)))

    def __call__(self, time: Int[Array, "batch length"]) -> Float[Array, "batch length length"]:
        """At [q, k], that of the seconds from k to q. f32."""
        # f32: what all positions add to a bucket's gradient, bf16 would lose.
        bias = self.bias[...].astype(jnp.float32)
        return bias[bucket(time[:, :, None] - time[:, None, :], len(bias))]


def bucket(seconds: Int[Array, "*shape"], buckets: int) -> Int[Array, "*shape"]:
    """⌊ln(max(1, seconds)) / 0.301⌋, and of longer times the last of the buckets.

    Found among whole numbers, so that rounding is the same wherever the model runs.
    """
    begins = np.ceil(np.exp(0.301 * np.arange(1, buckets))).astype(np.int32)
    return jnp.searchsorted(begins, seconds, side="right", method="scan_unrolled")


def attend(
    query: Float[Array, "batch heads length head_width"],
    key: Float[Array, "batch heads length head_width"],
    value: Float[Array, "batch heads length head_width"],
    bias: Float[Array, "*#batch length length"],
    attention_mask: AttentionMask,
) -> Float[Array, "batch length heads head_width"]:
    """Σ_k silu(q · k + bias) v / positions that are seen; scores in f32."""

    def stretch(start: int, end: int, keys: int) -> Array:
        scores = jnp.einsum(
            "bhqd,bhkd->bhqk",
            query[:, :, start:end],
            key[:, :, :keys],
            preferred_element_type=jnp.float32,
        )
        mask = attention_mask.mask(start, end, keys)[:, None]
        weights = jnp.where(mask, jax.nn.silu(scores + bias[..., start:end, :keys]), 0.0)
        weights = (weights / mask.sum(-1, keepdims=True)).astype(value.dtype)
        return jnp.einsum("bhqk,bhkd->bqhd", weights, value[:, :, :keys])

    parts = [stretch(*each) for each in attention_mask.stretches(query.shape[2])]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=1)
