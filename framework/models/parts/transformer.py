"""A transformer over a user's items: what SASRec and BERT4Rec have in common.

What lies where (kinds of block), for a layer f(·) and its input x:

  post  norm(x + f(x)), the first transformer (Vaswani et al. 2017, arXiv:1706.03762)
  pre   x + f(norm(x)), which trains more steadily (Xiong et al. 2020, arXiv:2002.04745)
  ligr  x + σ(W x + b) ⊙ f(norm(x)), a gate for each value, from LiGR (Borisyuk et al. 2025,
        arXiv:2502.03417); eSASRec (arXiv:2508.06450) uses it with a SwiGLU feed-forward layer

where f is attention, then the feed-forward layer.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from podway.framework.error import check
from podway.framework.models.parts.attention import CAUSAL, AttentionMask, attend, attend_at
from podway.framework.task import SERVING, ForwardContext

Kind = Literal["post", "pre", "ligr"]


class Encoder(nnx.Module):
    """Item and position embeddings, blocks, a final norm.

    Args:
      items: ids below this are items.
      rows: of the item table.
      width: of the embeddings.
      max_length: positions.
      dropout: rate after the embedding.
      blocks: (x, attention_mask, context) → x.
      rngs: of the initial values.
    """

    def __init__(
        self,
        items: int,
        rows: int,
        width: int,
        max_length: int,
        dropout: float,
        blocks: Sequence[nnx.Module],
        rngs: nnx.Rngs,
    ):
        init = nnx.initializers.normal(width**-0.5)
        self.items = items
        self.item = nnx.Embed(rows, width, embedding_init=init, rngs=rngs)
        self.position = nnx.Embed(max_length, width, embedding_init=init, rngs=rngs)
        self.dropout = dropout
        self.blocks = nnx.List(blocks)
        self.norm = nnx.LayerNorm(width, rngs=rngs)

    def __call__(
        self,
        item: Float[Array, "batch length width"],
        context: ForwardContext = SERVING,
        attention_mask: AttentionMask = CAUSAL,
        place: Int[Array, "batch length"] | None = None,
        at: Int[Array, " batch"] | None = None,
    ) -> Float[Array, "batch positions width"]:
        """Hidden states from the items' embeddings; dropout is off without a key.

        `place` is that of each item in its history, None: in its row. `at` is the one position of
        each row whose state is wanted: the last block computes no other. None: all are.
        """
        first, *keys = context.keys(1 + len(self.blocks))
        position = self.position.embedding[: item.shape[1]]
        if place is not None:
            position = jnp.take(context.whole(position), place, axis=0)
        x = drop(self.dropout, item + position, first)

        def run(block: Any, x: Array, key: Array | None, at: Array | None = None) -> Array:
            return block(x, attention_mask, dataclasses.replace(context, key=key), at)

        *before, (last, key) = zip(self.blocks, keys, strict=True)
        for block, block_key in before:
            x = context.block(functools.partial(run, block))(x, block_key)
        return self.norm(context.block(functools.partial(run, last))(x, key, at))


class Block(nnx.Module):
    """Attention, then a feed-forward layer, joined to the residual stream as `kind` says.

    Args:
      width: of the stream.
      heads: of the attention.
      feed_forward: width of the feed-forward layer.
      dropout: rate after either.
      kind: post and pre with a GELU between the feed-forward layer's two products; ligr with
        SwiGLU (Shazeer 2020, arXiv:2002.05202).
      rngs: of the initial values.
      head_width: of each head; None: the heads divide the width among themselves.
    """

    keeps_apart = True

    def __init__(
        self,
        width: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        kind: Kind,
        rngs: nnx.Rngs,
        head_width: int | None = None,
    ):
        inner = heads * (head_width or width // heads)
        gated = kind == "ligr"
        self.kind, self.heads, self.dropout = kind, heads, dropout
        self.attention_norm = nnx.LayerNorm(width, rngs=rngs)
        self.qkv = nnx.Linear(width, 3 * inner, rngs=rngs)
        self.out = nnx.Linear(inner, width, rngs=rngs)
        self.feed_forward_norm = nnx.LayerNorm(width, rngs=rngs)
        self.up = nnx.Linear(width, (1 + gated) * feed_forward, rngs=rngs)
        self.down = nnx.Linear(feed_forward, width, rngs=rngs)
        self.attention_gate = nnx.Linear(width, width, rngs=rngs) if gated else None
        self.feed_forward_gate = nnx.Linear(width, width, rngs=rngs) if gated else None

    def __call__(
        self,
        x: Float[Array, "batch length width"],
        attention_mask: AttentionMask,
        context: ForwardContext,
        at: Int[Array, " batch"] | None = None,
    ) -> Float[Array, "batch positions width"]:
        """One block, of all positions or of the one `at` which each row is asked for.

        Linear layers see (batch·length, width), which XLA multiplies fastest.
        """
        batch, length, width = x.shape
        first, second = context.keys(2)

        def attention(flat: Array) -> Array:
            # A head's query, key and value lie beside each other: heads split along mesh.tensor.
            parts = self.qkv(flat).reshape(batch, length, self.heads, 3, -1)
            query, key, value = (part.squeeze(3) for part in jnp.split(parts, 3, axis=3))
            if at is None:
                attended = attend(
                    query, key, value, attention_mask, context.attention, context.devices
                )
            else:
                attended = attend_at(at, query, key, value, attention_mask)
            return drop(
                self.dropout,
                self.out(attended.reshape(flat.shape[0] if at is None else batch, -1)),
                first,
            )

        def feed_forward(flat: Array) -> Array:
            return drop(self.dropout, self.down(self._activated(self.up(flat))), second)

        def stream(flat: Array) -> Array:
            return flat if at is None else flat[jnp.arange(batch) * length + at]

        flat = x.reshape(-1, width)
        flat = self._joined(flat, attention, self.attention_norm, self.attention_gate, stream)
        flat = self._joined(flat, feed_forward, self.feed_forward_norm, self.feed_forward_gate)
        return flat.reshape(batch, -1, width)

    def _joined(
        self,
        x: Array,
        layer: Callable[[Array], Array],
        norm: nnx.LayerNorm,
        gate: Any,
        stream: Callable[[Array], Array] = lambda x: x,
    ) -> Float[Array, "positions width"]:
        """The stream with a layer's result, where the layer has one."""
        if self.kind == "post":
            return norm(stream(x) + layer(x))
        change, x = layer(norm(x)), stream(x)
        return x + (change if gate is None else jax.nn.sigmoid(gate(x)) * change)

    def _activated(self, up: Float[Array, "positions up"]) -> Float[Array, "positions wide"]:
        """GELU, or SwiGLU: a gate lies beside its value, so that pairs split along mesh.tensor."""
        if self.kind != "ligr":
            return jax.nn.gelu(up)
        gate, value = jnp.moveaxis(up.reshape(*up.shape[:-1], -1, 2), -1, 0)
        return jax.nn.silu(gate) * value


def drop(rate: float, x: Array, key: Array | None) -> Array:
    """Dropout (Srivastava et al., 2014) where a key is given, its rate rounded to 2⁻¹⁶.

    16 bits decide on a value, and a word of 32 on two: asked for 16 bits at a time, JAX computes a
    word for each all the same.
    """
    dropped = min(round(rate * 2**16), 2**16 - 1)
    if key is None or dropped == 0:
        return x
    *outer, width = x.shape
    words = jax.random.bits(key, (*outer, -(-width // 2)), jnp.uint32)
    keep = jnp.concatenate([words >> 16 >= dropped, words & 0xFFFF >= dropped], axis=-1)
    return jnp.where(keep[..., :width], x / (1 - dropped / 2**16), 0.0)


def check_shape(config: object) -> None:
    """Raises ConfigError for a model's field that no encoder can have."""
    for field in ("width", "blocks", "heads", "feed_forward", "max_length"):
        value = getattr(config, field, 1)
        check(value >= 1, f"model.{field} is {value}; give 1 or more")
    width, heads, dropout = (getattr(config, field) for field in ("width", "heads", "dropout"))
    for field in ("head_width", "feed_forward_units"):
        value = getattr(config, field, None)
        check(value is None or value >= 1, f"model.{field} is {value}; give 1 or more, or None")
    check(
        width % heads == 0 or getattr(config, "head_width", None) is not None,
        f"model.heads is {heads}, which does not divide model.width = {width}",
    )
    check(0 <= dropout < 1, f"model.dropout is {dropout}; give a rate from 0 to below 1")
    block = getattr(config, "block_kind", "pre")
    check(
        block in get_args(Kind),
        f"model.block_kind is {block!r}; give one of {', '.join(get_args(Kind))}",
    )
