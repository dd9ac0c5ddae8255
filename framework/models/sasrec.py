"""SASRec: self-attentive sequential recommendation (Kang & McAuley, 2018, arXiv:1808.09781).

A causal transformer reads a user's items, oldest first, and at each position predicts the next one.
Here with pre-norm blocks and full softmax cross-entropy over the catalogue (Klenitskiy & Vasilev,
2023, arXiv:2309.07602), input and output embeddings shared. Histories are padded at the end, so the
causal mask hides the padding and position p is the p-th item that is read. With `negatives`, the
softmax is estimated from a few items drawn for each batch, which is what large catalogues need.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from framework import losses, ranking
from framework.config import Model
from framework.error import check
from framework.models.catalogue import item_logits, item_rows, latest
from framework.schema import FIRST_VALUE, PADDING, Schema
from framework.table import Embedding, Table
from framework.task import SERVING, Batch, Lookup, Pass, Rows

ITEM = "item/embedding"
"""Path of the item table."""


@dataclasses.dataclass(frozen=True)
class SasRec(Model):
    """Causal transformer over the user's items, with full softmax over the catalogue."""

    width: int = 64
    """Width of the embeddings and of the blocks."""
    blocks: int = 2
    """Transformer blocks."""
    heads: int = 1
    """Attention heads; they divide the width."""
    feed_forward: int = 4
    """Width of the feed-forward layer, in multiples of `width`."""
    max_length: int = 200
    """Latest items that are read."""
    dropout: float = 0.1
    """Dropout rate after the embedding, the attention and the feed-forward layer."""
    negatives: int | None = None
    """Items drawn for each batch, uniformly, that stand for the whole catalogue in the softmax;
    None: all items, exactly."""
    embedding: Embedding | None = None
    """Keep the items' embeddings as a sparse table, of which a step reads and writes only the rows
    that it needs; for large catalogues, with `negatives`. None: as an ordinary parameter."""

    def __post_init__(self):
        for field in ("width", "blocks", "heads", "feed_forward", "max_length"):
            value = getattr(self, field)
            check(value >= 1, f"model.{field} is {value}; give 1 or more")
        check(
            self.width % self.heads == 0,
            f"model.heads is {self.heads}, which does not divide model.width = {self.width}",
        )
        check(
            self.negatives is None or self.negatives >= 1,
            f"model.negatives is {self.negatives}; give 1 or more, or None",
        )
        check(
            self.embedding is None or self.negatives is not None,
            "model.embedding asks for a sparse table, but the softmax over all items reads all of"
            " it; set model.negatives",
        )
        check(
            0 <= self.dropout < 1, f"model.dropout is {self.dropout}; give a rate from 0 to below 1"
        )

    def build(self, schema: Schema, rngs: nnx.Rngs) -> "Transformer":
        """The module, with a row for each item id."""
        return Transformer(self, schema["item"].size, rngs)

    def lengths(self, schema: Schema) -> dict[str, int]:
        """One item more than is read, as each is the target of the one before it."""
        return {"item": min(self.max_length, schema["item"].max_length - 1) + 1}

    def tables(self, schema: Schema) -> dict[str, Table]:
        """The items' embeddings, where they are sparse."""
        if self.embedding is None:
            return {}
        return {ITEM: Table(item_rows(schema["item"].size), self.width, self.embedding)}

    def lookups(self, schema: Schema, batch: Batch, key: Array) -> dict[str, Lookup]:
        """The embeddings of the items, and of those that are drawn."""
        wanted = {"item": Lookup(ITEM, batch["item"])}
        if self.negatives:
            shape = (self.negatives,)
            drawn = jax.random.randint(key, shape, FIRST_VALUE, schema["item"].size)
            wanted["negatives"] = Lookup(ITEM, drawn, shared=True)
        return wanted

    def loss(
        self, module: "Transformer", batch: Batch, rows: Mapping[str, Rows], how: Pass
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Cross-entropy of the next item at each position that has one and knows it."""
        read, targets = batch["item"][:, :-1], batch["item"][:, 1:]
        embedded, valid = rows["item"].values, targets >= FIRST_VALUE
        hidden = module(embedded[:, :-1], how)
        if self.negatives:
            loss = losses.sampled_softmax_cross_entropy(
                hidden,
                embedded[:, 1:],
                targets,
                valid,
                rows["negatives"].values,
                rows["negatives"].ids,
                module.items - FIRST_VALUE,
            )
        else:
            loss = losses.linear_softmax_cross_entropy(
                hidden,
                module.item.embedding[...],
                targets,
                valid,
                FIRST_VALUE,
                module.items,
                how.devices,
            )
        weight = valid.sum().astype(jnp.float32)
        return jnp.asarray(loss), weight, {"filled_positions": (read != PADDING).mean()}

    def scores(
        self, module: "Transformer", history: Int[Array, "batch length"], how: Pass = SERVING
    ) -> Float[Array, "batch rows"]:
        """Logits at the last item of each history, of which the latest items are read."""
        return item_logits(*self.factors(module, history, how), module.items)

    def factors(
        self, module: "Transformer", history: Int[Array, "batch length"], how: Pass = SERVING
    ) -> ranking.Factors:
        """The hidden state at the last item of each history; the items' embeddings."""
        item, last = latest(history, self.max_length)
        hidden = module(module.item.embedding[item], how)
        hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
        return ranking.Factors(hidden, module.item.embedding[...])


class Transformer(nnx.Module):
    """Item and position embeddings, pre-norm blocks, a final norm."""

    def __init__(self, config: SasRec, items: int, rngs: nnx.Rngs):
        rows = item_rows(items)
        init = nnx.initializers.normal(config.width**-0.5)
        self.items = items
        self.item = nnx.Embed(rows, config.width, embedding_init=init, rngs=rngs)
        self.position = nnx.Embed(config.max_length, config.width, embedding_init=init, rngs=rngs)
        self.dropout = config.dropout
        self.blocks = nnx.List([Block(config, rngs) for _ in range(config.blocks)])
        self.norm = nnx.LayerNorm(config.width, rngs=rngs)

    def __call__(
        self, item: Float[Array, "batch length width"], how: Pass = SERVING
    ) -> Float[Array, "batch length width"]:
        """Hidden states from the items' embeddings; dropout is off without a key."""
        length = item.shape[1]
        first, *keys = how.keys(1 + len(self.blocks))
        x = drop(self.dropout, item + self.position.embedding[:length], first)
        causal = jnp.tril(jnp.ones((length, length), bool))
        for block, key in zip(self.blocks, keys, strict=True):
            x = how.block(block.__call__)(x, causal, key)
        return self.norm(x)


class Block(nnx.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, config: SasRec, rngs: nnx.Rngs):
        wide = config.width * config.feed_forward
        self.heads = config.heads
        self.attention_norm = nnx.LayerNorm(config.width, rngs=rngs)
        self.qkv = nnx.Linear(config.width, 3 * config.width, rngs=rngs)
        self.out = nnx.Linear(config.width, config.width, rngs=rngs)
        self.feed_forward_norm = nnx.LayerNorm(config.width, rngs=rngs)
        self.up = nnx.Linear(config.width, wide, rngs=rngs)
        self.down = nnx.Linear(wide, config.width, rngs=rngs)
        self.dropout = config.dropout

    def __call__(
        self,
        x: Float[Array, "batch length width"],
        causal: Bool[Array, "length length"],
        key: Array | None,
    ) -> Float[Array, "batch length width"]:
        """One block; linear layers see (batch·length, width), which XLA multiplies fastest."""
        shape = x.shape
        flat = x.reshape(-1, shape[-1])
        qkv = self.qkv(self.attention_norm(flat)).reshape(*shape[:2], 3 * shape[-1])
        attended = attend(qkv, causal, self.heads).reshape(flat.shape)
        first, second = (None, None) if key is None else jax.random.split(key)
        flat += drop(self.dropout, self.out(attended), first)
        up = jax.nn.gelu(self.up(self.feed_forward_norm(flat)))
        flat += drop(self.dropout, self.down(up), second)
        return flat.reshape(shape)


def attend(
    qkv: Float[Array, "batch length qkv_width"], causal: Bool[Array, "length length"], heads: int
) -> Float[Array, "batch length width"]:
    """Multi-head softmax attention; scores and softmax in f32.

    A head's query, key and value lie beside each other, so that heads split along mesh.tensor.
    """
    batch, length, _ = qkv.shape
    parts = jnp.moveaxis(qkv.reshape(batch, length, heads, 3, -1), 3, 0)
    query, key, value = (part.swapaxes(1, 2) for part in parts)
    scores = jnp.einsum("bhqd,bhkd->bhqk", query, key, preferred_element_type=jnp.float32)
    scores = jnp.where(causal, scores * query.shape[-1] ** -0.5, -jnp.inf)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    return jnp.einsum("bhqk,bhkd->bhqd", weights, value).swapaxes(1, 2).reshape(batch, length, -1)


def drop(rate: float, x: Array, key: Array | None) -> Array:
    """Dropout (Srivastava et al., 2014) where a key is given."""
    if key is None or rate == 0:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0.0)
