"""A decoder-only language model: to the trainer, a recommender of the next token.

Documents are users, tokens are items. The blocks are those of Llama (Touvron et al. 2023,
arXiv:2302.13971): pre-norm with RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467), rotary positions
(Su et al. 2021, arXiv:2104.09864), grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245)
and SwiGLU (Shazeer 2020, arXiv:2002.05202), without biases. All layers' parameters are stacked,
[layers, …], and one layer is compiled, which `jax.lax.scan` runs for each: programs compile as fast
at eighty layers as at two, and with `mesh.fsdp` only one layer is gathered at a time. On GPUs
without it layers are compiled one by one: the loop would stack what each keeps for the backward
pass.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from podway.framework.config.model import ShardingRules
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import check
from podway.framework.formats import layers, matrix
from podway.framework.input.packing import SEGMENT
from podway.framework.metrics import top_k
from podway.framework.models.parts import shrink
from podway.framework.models.parts.attention import CAUSAL, AttentionMask, attend
from podway.framework.models.parts.event_weights import history_columns, weights_of_next
from podway.framework.models.parts.history import (
    continues,
    item_logits,
    item_rows,
    last,
    latest_of,
)
from podway.framework.models.parts.item_losses import FullSoftmax, ItemLoss, Predictions
from podway.framework.schema.schema import FIRST_VALUE, PADDING, Schema
from podway.framework.task import SERVING, Batch, ForwardContext, Loss, Recommender, TrainedModel

KERNELS = ("query", "key", "value", "out", "gate", "up", "down")
"""The layers' matrices."""


@dataclasses.dataclass(frozen=True)
class Decoder(TrainedModel, Recommender):
    """Causal language model: rotary positions, grouped-query attention, SwiGLU, RMSNorm."""

    sharding_rules: ClassVar[ShardingRules] = (
        (r"layers/(query|key|value|out)/kernel", (None, "tensor", None, "fsdp")),
        (r"layers/(gate|up)/kernel", (None, "fsdp", "tensor")),
        (r"layers/down/kernel", (None, "tensor", "fsdp")),
        (r"layers/.*norm/scale", (None, None)),
    )
    """A stacked layer's first dimension is never split, as a scan takes one after the other."""
    objective: ClassVar[ItemLoss] = FullSoftmax()
    """What a position's state says of the next token."""

    width: int = 256
    """Width of the embeddings and of the layers."""
    layers: int = 4
    """Layers, run by a scan."""
    heads: int = 4
    """Query heads. mesh.tensor divides them."""
    kv_heads: int = 2
    """Heads of keys and values, each of which serves as many query heads; they divide `heads`, and
    mesh.tensor divides them."""
    head_width: int = 64
    """Width of a head; even, as positions rotate pairs."""
    feed_forward: int = 768
    """Width of the feed-forward layer."""
    max_length: int = 256
    """Latest tokens that are read."""
    rope_base: float = 10_000.0
    """Base of the rotary positions' wave lengths; larger for longer texts."""
    tied: bool = True
    """Whether one table holds the input and the output embeddings."""

    def __post_init__(self):
        for field in (
            *("width", "layers", "heads", "kv_heads", "head_width", "feed_forward", "max_length"),
        ):
            value = getattr(self, field)
            check(value >= 1, f"model.{field} is {value}; give 1 or more")
        check(
            self.heads % self.kv_heads == 0,
            f"model.kv_heads is {self.kv_heads}, which does not divide model.heads = {self.heads}",
        )
        check(
            self.head_width % 2 == 0,
            f"model.head_width is {self.head_width}; give an even number",
        )
        check(self.rope_base > 1, f"model.rope_base is {self.rope_base}; give more than 1")

    def build(self, schema: Schema, rngs: nnx.Rngs) -> "Transformer":
        """The module, with a row for each token id."""
        return Transformer(self, schema["item"].size, rngs)

    def groups(self, what: shrink.What) -> tuple[shrink.Group, ...]:
        """Of heads, a head of keys and values with its query heads is one."""
        if what == "layers":
            return (shrink.Group("layers", self.layers, stacked=True),)
        if what == "heads":
            each = self.heads // self.kv_heads
            parts = {"query": (0, each), "key": (0, 1), "value": (0, 1), "out": (0, each)}
            count = self.kv_heads
        else:
            parts, count = {"gate": (1, 1), "up": (1, 1), "down": (0, 1)}, self.feed_forward
        found = [shrink.Part(f"layers/{name}/kernel", *place) for name, place in parts.items()]
        return (shrink.Group("layers", count, tuple(found), stacked=True),)

    def left(self, what: shrink.What, counts: tuple[int, ...]) -> Self:
        """See shrink.Shrinkable."""
        (count,) = counts
        if what == "heads":
            heads = count * (self.heads // self.kv_heads)
            return dataclasses.replace(self, heads=heads, kv_heads=count)
        fields = {"layers": "layers", "units": "feed_forward"}
        return dataclasses.replace(self, **{fields[what]: count})

    def packs(self) -> bool:
        """Yes: its layers see what `attend` lets them see."""
        return True

    def lengths(self, schema: Schema) -> dict[str, int]:
        """One token more than is read, as each is the target of the one before it."""
        length = min(self.max_length, schema["item"].max_length - 1) + 1
        return dict.fromkeys(history_columns(schema, "item"), length)

    def embeddings(self, schema: Schema) -> dict[str, str]:
        """The tokens'."""
        return {"item": "item/embedding"}

    def in_formats(self, schema: Schema) -> tuple[str, ...]:
        """The tokens', and the layers' kernels, each of which is widened when its layer is run."""
        tables = ("item/embedding",) if self.tied else ("item/embedding", "output/embedding")
        return (*tables, *(f"layers/{name}/kernel" for name in KERNELS))

    def reads(self, schema: Schema, batch: Batch) -> Batch:
        """The latest tokens of each text."""
        return {"item": latest_of(batch["item"], batch["item"], self.max_length)}

    def loss(
        self,
        module: "Transformer",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext,
    ) -> Loss:
        """Cross-entropy of the next token at each position that has one and knows it, by its
        weight."""
        each = self.predictions(module, batch, rows, context)
        loss = self.objective.loss(each, rows)
        weight = each.weights.sum().astype(jnp.float32)
        filled = (batch["item"][:, :-1] != PADDING).mean()
        return jnp.asarray(loss), weight, {"filled_positions": filled}

    def predictions(
        self,
        module: "Transformer",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext,
    ) -> Predictions:
        """The states of a training batch, and what they are to predict."""
        targets, embedded = batch["item"][:, 1:], rows["item"].values
        weights = weights_of_next(batch, (targets >= FIRST_VALUE) & continues(batch))
        segment = batch[SEGMENT][:, :-1] if SEGMENT in batch else None
        hidden = module(embedded[:, :-1], context, AttentionMask(segment=segment))
        positives, table = embedded[:, 1:], module.head
        return Predictions(
            hidden, targets, positives, weights, table, module.items, context.devices
        )

    def scores(
        self,
        module: "Transformer",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> Float[Array, "batch rows"]:
        """Logits of the token after each text."""
        return item_logits(*self.factors(module, batch, rows, context), module.items)

    def factors(
        self,
        module: "Transformer",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> top_k.Factors:
        """The hidden state at the last token of each text; the tokens' vectors in the head."""
        hidden, at = module(rows["item"].values, context), last(batch["item"])
        hidden = jnp.take_along_axis(hidden, at[:, None, None], axis=1)[:, 0]
        return top_k.Factors(hidden, module.head)

    def factors_each(
        self,
        module: "Transformer",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> tuple[Float[Array, "batch length width"], Array]:
        """The hidden state at each token; the tokens' vectors in the head."""
        return module(rows["item"].values, context), module.head


class Transformer(nnx.Module):
    """Token embeddings, a scan over the layers, a final norm."""

    def __init__(self, config: Decoder, items: int, rngs: nnx.Rngs):
        self.items = items
        embed = functools.partial(
            nnx.Embed,
            item_rows(items),
            config.width,
            embedding_init=nnx.initializers.normal(config.width**-0.5),
        )
        self.item = embed(rngs=rngs)
        if not config.tied:
            self.output = embed(rngs=rngs)
        self.layers = stacked(config, rngs)
        self.norm = nnx.RMSNorm(config.width, rngs=rngs)

    def __call__(
        self,
        item: Float[Array, "batch length width"],
        context: ForwardContext = SERVING,
        attention_mask: AttentionMask = CAUSAL,
    ) -> Float[Array, "batch length width"]:
        """Hidden states from the tokens' embeddings."""
        graph, parameters = nnx.split(self.layers)

        def run(x: Array, parameters: nnx.State) -> Array:
            widened = jax.tree.map(layers.widened, parameters, is_leaf=_is_matrix)
            return nnx.merge(graph, widened)(x, attention_mask, context)

        layer = context.block(run)
        x, _ = jax.lax.scan(
            lambda x, each: (layer(x, each), None),
            context.split(item),
            parameters,
            unroll=unrolls(context.devices),
        )
        return context.split(self.norm(x))

    @property
    def head(self) -> Any:
        """The output embeddings, an array; or a Matrix, where they are stored so."""
        return (self.output if hasattr(self, "output") else self.item).embedding[...]


def unrolls(devices: jax.sharding.Mesh | None) -> bool:
    """Whether layers are compiled one by one: on GPUs, unless a loop gathers their parameters.

    On an H200 a step of decoder_1b, 8 × 2,048, took 247 ms and 42 GiB so, in a loop 302 ms and 61
    GiB (docs/results.md; with larger chunks of the loss).
    """
    if devices is None:
        return False
    return devices.devices.flat[0].platform == "gpu" and devices.shape["fsdp"] == 1


def _is_matrix(leaf: Any) -> bool:
    return isinstance(leaf, matrix.Matrix)


def stacked(config: Decoder, rngs: nnx.Rngs) -> "Layer":
    """All layers as one, each parameter [layers, …]; each is drawn for itself."""

    @nnx.split_rngs(splits=config.layers)
    @nnx.vmap(in_axes=(0,), out_axes=0)
    def build(rngs: nnx.Rngs) -> Layer:
        return Layer(config, rngs)

    return build(rngs)


class Layer(nnx.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, config: Decoder, rngs: nnx.Rngs):
        inner = config.width**-0.5
        # What joins the residual stream starts small, so that the sum over all layers is as large
        # as one product (Radford et al. 2019).
        deep = (2 * config.layers) ** -0.5
        heads = functools.partial(Heads, head_width=config.head_width, width=config.width)
        linear = functools.partial(nnx.Linear, use_bias=False, rngs=rngs)
        wide = config.feed_forward
        self.attention_norm = nnx.RMSNorm(config.width, rngs=rngs)
        self.query = heads(config.heads, scale=inner, rngs=rngs)
        self.key = heads(config.kv_heads, scale=inner, rngs=rngs)
        self.value = heads(config.kv_heads, scale=inner, rngs=rngs)
        over = (config.heads * config.head_width) ** -0.5
        self.out = heads(config.heads, scale=deep * over, rngs=rngs)
        self.feed_forward_norm = nnx.RMSNorm(config.width, rngs=rngs)
        self.gate = linear(config.width, wide)
        self.up = linear(config.width, wide)
        self.down = linear(
            wide, config.width, kernel_init=nnx.initializers.normal(deep * wide**-0.5)
        )
        self.rope_base = config.rope_base

    def __call__(
        self,
        x: Float[Array, "batch length width"],
        attention_mask: AttentionMask,
        context: ForwardContext,
    ) -> Float[Array, "batch length width"]:
        """One layer. Of texts in one row it is the distances of positions that count."""
        normed = self.attention_norm(x)
        query = rotate(self.query.split(normed), self.rope_base)
        key = rotate(self.key.split(normed), self.rope_base)
        value = self.value.split(normed)
        attended = attend(query, key, value, attention_mask, context.attention, context.devices)
        x = context.split(x + self.out.join(attended))
        normed = self.feed_forward_norm(x)
        return context.split(x + self.down(jax.nn.silu(self.gate(normed)) * self.up(normed)))


class Heads(nnx.Module):
    """A linear map from states to heads, or back: kernel [heads, head_width, width].

    The width comes last, as a TPU pads an array's last dimension to 128; heads have a dimension of
    their own, so that they alone are split along mesh.tensor.
    """

    def __init__(self, heads: int, head_width: int, width: int, scale: float, rngs: nnx.Rngs):
        shape = (heads, head_width, width)
        self.kernel = nnx.Param(nnx.initializers.normal(scale)(rngs.params(), shape))

    def split(
        self, x: Float[Array, "batch length width"]
    ) -> Float[Array, "batch length heads head_width"]:
        """States → heads."""
        return jnp.einsum("blw,hdw->blhd", x, self.kernel[...])

    def join(
        self, x: Float[Array, "batch length heads head_width"]
    ) -> Float[Array, "batch length width"]:
        """Heads → states."""
        return jnp.einsum("blhd,hdw->blw", x, self.kernel[...])


def rotate(
    x: Float[Array, "batch length heads head_width"], base: float
) -> Float[Array, "batch length heads head_width"]:
    """Rotary positions: at position p, the pair (i, i + head_width/2) turns by p · base^(−2i/d).

    Angles and rotation in f32: bf16 cannot tell position 257 from 256.
    """
    half = x.shape[-1] // 2
    frequency = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = (jnp.arange(x.shape[1])[:, None] * frequency)[:, None]
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)
