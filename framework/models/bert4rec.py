"""BERT4Rec: bidirectional transformer, trained to fill gaps (Sun et al. 2019, arXiv:1904.06690).

A share of a history's items is replaced by a mask, which has a row of its own behind the items';
from all others, before and after, the model says what stood there: softmax cross-entropy over the
catalogue at the masked positions alone. Some histories have only their last item masked, as when
the model serves: there the mask stands behind the latest item. Input and output embeddings are
shared; the published output layer between the last block and them is left out.
"""

import dataclasses
from collections.abc import Mapping
from typing import Self

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from podway.framework.config.fields import later
from podway.framework.embedding.lookup import EmbeddedRows, Lookup
from podway.framework.error import check
from podway.framework.losses import softmax
from podway.framework.metrics import top_k
from podway.framework.models.parts import shrink
from podway.framework.models.parts.attention import AttentionMask
from podway.framework.models.parts.event_weights import (
    history_columns,
    may_be_targets,
    weights_at,
)
from podway.framework.models.parts.history import item_logits, item_rows, last, latest_of
from podway.framework.models.parts.transformer import Block, Encoder, Kind, check_shape
from podway.framework.schema.schema import FIRST_VALUE, PADDING, Schema
from podway.framework.task import SERVING, Batch, ForwardContext, Loss, Recommender, TrainedModel

ITEM = "item/embedding"
"""Path of the item table."""


@dataclasses.dataclass(frozen=True)
class Bert4Rec(TrainedModel, Recommender):
    """Bidirectional transformer over the user's items, some of them masked."""

    width: int = 64
    """Width of the embeddings and of the blocks."""
    blocks: int = 2
    """Transformer blocks."""
    heads: int = 2
    """Attention heads; they divide the width."""
    feed_forward: int = 4
    """Width of the feed-forward layer, in multiples of `width`."""
    block_kind: Kind = "post"
    """Norm after (as published) or before each layer, or before it with a gate behind (LiGR)."""
    max_length: int = 200
    """Latest items that are read, the mask among them."""
    dropout: float = 0.1
    """Dropout rate after the embedding and after each layer."""
    masked: float = 0.2
    """Share of a history's items that is masked in training, one at least."""
    masked_last: float = 0.1
    """Share of the histories of which only the last item is masked."""
    feed_forward_units: int | None = later(None)
    """Units of the feed-forward layer, where they are no multiple of `width`; None: as
    `feed_forward` says. Compression sets it, when it leaves units out."""
    head_width: int | None = later(None)
    """Width of a head; None: width / heads. Compression sets it, when it leaves heads out."""

    def __post_init__(self):
        check_shape(self)
        check(
            self.max_length >= 2,
            f"model.max_length is {self.max_length}; give 2 or more, an item and the mask",
        )
        check(
            0 < self.masked < 1,
            f"model.masked is {self.masked}; give a share between 0 and 1",
        )
        check(
            0 <= self.masked_last <= 1,
            f"model.masked_last is {self.masked_last}; give a share from 0 to 1",
        )

    def build(self, schema: Schema, rngs: nnx.Rngs) -> Encoder:
        """The module, with a row for each item id and one, of id `items`, for the mask."""
        wide = self.feed_forward_units or self.width * self.feed_forward
        shape, items = (self.width, self.heads, wide, self.dropout), schema["item"].size
        blocks = [Block(*shape, self.block_kind, rngs, self.head_width) for _ in range(self.blocks)]
        return Encoder(
            items, item_rows(items + 1), self.width, self.max_length, self.dropout, blocks, rngs
        )

    def groups(self, what: shrink.What) -> tuple[shrink.Group, ...]:
        """See shrink.Shrinkable."""
        return shrink.transformer_groups(self, what)

    def left(self, what: shrink.What, counts: tuple[int, ...]) -> Self:
        """See shrink.Shrinkable."""
        return shrink.smaller_transformer(self, what, counts)

    def lengths(self, schema: Schema) -> dict[str, int]:
        """The items that are read."""
        length = min(self.max_length, schema["item"].max_length)
        return dict.fromkeys(history_columns(schema, "item"), length)

    def embeddings(self, schema: Schema) -> dict[str, str]:
        """The items', in whose table the mask's stands too."""
        return {"item": ITEM}

    def in_formats(self, schema: Schema) -> tuple[str, ...]:
        """The items': they are looked up and multiplied with."""
        return (ITEM,)

    def lookups(self, schema: Schema, batch: Batch, key: Array) -> dict[str, Lookup]:
        """The embeddings of the items, and of the mask."""
        mask = jnp.array([schema["item"].size], jnp.int32)
        return super().lookups(schema, batch, key) | {"mask": Lookup(ITEM, mask, shared=True)}

    def reads(self, schema: Schema, batch: Batch) -> Batch:
        """The latest items of each history, and behind them the mask."""
        item = latest_of(batch["item"], batch["item"], self.max_length - 1)
        end = (item != PADDING).sum(1, keepdims=True)
        item = jnp.pad(item, ((0, 0), (0, 1)))
        return {"item": jnp.where(jnp.arange(item.shape[1]) == end, schema["item"].size, item)}

    def loss(
        self,
        module: Encoder,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext,
    ) -> Loss:
        """Cross-entropy of the masked items, by their weights. Needs context.key, which says where
        they are."""
        assert context.key is not None
        key, drawing = jax.random.split(context.key)
        item = batch["item"]
        at, valid = gaps(may_be_targets(batch), self.masked, self.masked_last, drawing)
        hide = (valid[..., None] & (at[..., None] == jnp.arange(item.shape[1]))).any(1)
        embedded = jnp.where(hide[..., None], rows["mask"].values, rows["item"].values)
        hidden = module(embedded, dataclasses.replace(context, key=key), both_ways(item))
        weights = weights_at(batch, at, valid)
        loss = softmax.linear_softmax_cross_entropy(
            jnp.take_along_axis(hidden, at[..., None], axis=1),
            module.item.embedding[...],
            jnp.take_along_axis(item, at, axis=1),
            weights,
            FIRST_VALUE,
            module.items,
            context.devices,
        )
        weight = weights.sum().astype(jnp.float32)
        return jnp.asarray(loss), weight, {"filled_positions": (item != PADDING).mean()}

    def scores(
        self,
        module: Encoder,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> Float[Array, "batch rows"]:
        """Logits at the mask behind each history."""
        return item_logits(*self.factors(module, batch, rows, context), module.items)

    def factors(
        self,
        module: Encoder,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> top_k.Factors:
        """The hidden state at the mask behind each history; the items' embeddings."""
        item = batch["item"]
        hidden = module(rows["item"].values, context, both_ways(item), at=last(item))[:, 0]
        return top_k.Factors(hidden, module.item.embedding[...])


def gaps(
    known: Bool[Array, "batch length"], share: float, last_only: float, key: Array
) -> tuple[Int[Array, "batch gaps"], Bool[Array, "batch gaps"]]:
    """Positions to mask, and which of them count.

    Of each row a share of its known items, rounded, one at least and drawn evenly without
    replacement; in a share `last_only` of the rows just the last one. A row without known items has
    none. (Of items that may be targets, where others are history only.)
    """
    batch, length = known.shape
    most = max(1, round(share * length))
    wanted = jnp.clip(jnp.round(share * known.sum(1)), 1, most)
    evenly, which = jax.random.split(key)
    order = jax.random.uniform(evenly, known.shape)
    alone = jax.random.bernoulli(which, last_only, (batch, 1))
    # The later, the sooner it is taken.
    order = jnp.where(alone, -jnp.arange(length), order)
    order = jnp.where(known, order, jnp.inf)
    at = jnp.argsort(order, axis=1)[:, :most]
    taken = jnp.arange(most) < jnp.where(alone, 1, wanted[:, None])
    return at, taken & jnp.take_along_axis(known, at, axis=1)


def both_ways(item: Int[Array, "batch length"]) -> AttentionMask:
    """Each position sees all that are filled; padding, which nobody reads, sees padding."""
    return AttentionMask(causal=False, segment=(item != PADDING).astype(jnp.int32))
