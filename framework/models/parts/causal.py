"""The task of the causal models, SASRec's family and HSTU: at each position, say the next item.

The items of a history are read oldest first, and each is the target of the one before it. Histories
are padded at the end, so causality hides the padding and position p is the p-th item that is read.
Where a row holds several (framework/input/packing.py), each of them is as if alone.
Input and output embeddings are shared.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from podway.framework.embedding.lookup import EmbeddedRows, Lookup
from podway.framework.embedding.table import Embedding
from podway.framework.error import check
from podway.framework.formats import matrix
from podway.framework.input.packing import SEGMENT
from podway.framework.metrics import top_k
from podway.framework.models.parts.attention import AttentionMask, keeps_apart
from podway.framework.models.parts.event_weights import history_columns, weights_of_next
from podway.framework.models.parts.history import (
    continues,
    item_logits,
    item_rows,
    last,
    latest_of,
    places,
)
from podway.framework.models.parts.item_losses import FullSoftmax, ItemLoss, Predictions
from podway.framework.models.parts.transformer import Encoder, check_shape
from podway.framework.schema.schema import FIRST_VALUE, PADDING, Schema
from podway.framework.task import SERVING, Batch, ForwardContext, Loss, Recommender, TrainedModel

ITEM = "item/embedding"
"""Path of the item table."""


@dataclasses.dataclass(frozen=True)
class CausalModel(TrainedModel, Recommender):
    """Causal blocks over the user's items. Choose SasRec or Hstu."""

    width: int = 64
    """Width of the embeddings and of the blocks."""
    blocks: int = 2
    """Blocks, one after the other."""
    heads: int = 1
    """Attention heads; they divide the width."""
    max_length: int = 200
    """Latest items that are read."""
    dropout: float = 0.1
    """Dropout rate after the embedding and after each layer."""
    objective: ItemLoss = FullSoftmax()
    """What a position's state says of the next item: FullSoftmax, SampledSoftmax, Bce or GBce."""
    embedding: Embedding | None = None
    """Keep the items' embeddings as a sparse table, of which a step reads and writes only the rows
    that it needs; for large catalogues, with an objective that draws items for each batch. None: as
    an ordinary parameter."""

    def __post_init__(self):
        check_shape(self)
        check(
            self.embedding is None or self.objective.draws_for_batch,
            "model.embedding asks for a sparse table, for which items must be drawn once for each"
            f" batch; model.objective is {self.objective}: give SampledSoftmax, or Bce or GBce with"
            ' drawn_for="batch"',
        )

    def block_module(self, rngs: nnx.Rngs) -> nnx.Module:
        """One block, (x, attention_mask, context, at) → x.

        If no position of its answer depends on those of other segments in the attention mask, its
        class may promise that by KEEPS_APART (parts/attention.py): else `trainer.pack` is refused.
        """
        raise NotImplementedError

    def build(self, schema: Schema, rngs: nnx.Rngs) -> Encoder:
        """The module, with a row for each item id."""
        blocks = [self.block_module(rngs) for _ in range(self.blocks)]
        items = schema["item"].size
        return Encoder(
            items, item_rows(items), self.width, self.max_length, self.dropout, blocks, rngs
        )

    def packs(self) -> bool:
        """If the block says that it keeps the histories of a row apart (attention.keeps_apart)."""
        return keeps_apart(nnx.eval_shape(lambda: self.block_module(nnx.Rngs(0))))

    def lengths(self, schema: Schema) -> dict[str, int]:
        """One item more than is read, as each is the target of the one before it."""
        length = min(self.max_length, schema["item"].max_length - 1) + 1
        names = ["item", "time"] if self.reads_times() else ["item"]
        return dict.fromkeys(history_columns(schema, *names), length)

    def embeddings(self, schema: Schema) -> dict[str, str]:
        """The items'."""
        return {"item": ITEM}

    def sparse(self, schema: Schema) -> dict[str, Embedding]:
        """The items', where `embedding` asks for it."""
        return {} if self.embedding is None else {ITEM: self.embedding}

    def in_formats(self, schema: Schema) -> tuple[str, ...]:
        """The items': they are looked up and multiplied with."""
        return (ITEM,)

    def lookups(self, schema: Schema, batch: Batch, key: Array) -> dict[str, Lookup]:
        """The embeddings of the items, and of those that are drawn."""
        drawn = self.objective.lookups(ITEM, batch["item"][:, 1:], schema["item"].size, key)
        return super().lookups(schema, batch, key) | drawn

    def reads(self, schema: Schema, batch: Batch) -> Batch:
        """The latest items of each history."""
        item = batch["item"]
        return {name: latest_of(column, item, self.max_length) for name, column in batch.items()}

    def loss(
        self,
        module: Encoder,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext,
    ) -> Loss:
        """The objective at each position that has a next item and knows it, by its weight."""
        each = self.predictions(module, batch, rows, context)
        loss = self.objective.loss(each, rows)
        weight = each.weights.sum().astype(jnp.float32)
        filled = (batch["item"][:, :-1] != PADDING).mean()
        return jnp.asarray(loss), weight, {"filled_positions": filled}

    def predictions(
        self,
        module: Encoder,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext,
    ) -> Predictions:
        """The states of a training batch, and what they are to predict."""
        targets, embedded = batch["item"][:, 1:], rows["item"].values
        read = {name: column[:, :-1] for name, column in batch.items()}
        hidden = self.states(module, read, embedded[:, :-1], context)
        weights = weights_of_next(batch, (targets >= FIRST_VALUE) & continues(batch))
        table = module.item.embedding[...]
        return Predictions(
            hidden, targets, embedded[:, 1:], weights, table, module.items, context.devices
        )

    def scores(
        self,
        module: Encoder,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> Float[Array, "batch rows"]:
        """Logits at the last item of each history."""
        return item_logits(*self.factors(module, batch, rows, context), module.items)

    def factors(
        self,
        module: Encoder,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> top_k.Factors:
        """The hidden state at the last item of each history; the items' embeddings."""
        hidden = self.states(module, batch, rows["item"].values, context, at=last(batch["item"]))
        return top_k.Factors(hidden[:, 0], module.item.embedding[...])

    def factors_each(
        self,
        module: Encoder,
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> tuple[Float[Array, "batch length width"], matrix.Table]:
        """The hidden state at each item; the items' embeddings."""
        hidden = self.states(module, batch, rows["item"].values, context)
        return hidden, module.item.embedding[...]

    def states(
        self,
        module: Encoder,
        read: Batch,
        embedded: Float[Array, "batch length width"],
        context: ForwardContext,
        at: Int[Array, " batch"] | None = None,
    ) -> Float[Array, "batch positions width"]:
        """The hidden states of what is read, at all positions or at one of each row."""
        segment = read.get(SEGMENT)
        attention_mask = AttentionMask(segment=segment, time=read.get("time"))
        return module(embedded, context, attention_mask, places(segment), at)
