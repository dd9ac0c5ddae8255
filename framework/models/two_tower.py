"""Two towers: a vector of the user and one of each item, whose dot product is the score.

The user's tower reads means of the items in the history, the item's tower the item's own embedding
and its attributes (Covington et al. 2016, "Deep neural networks for YouTube recommendations"; Yi et
al. 2019, "Sampling-bias-corrected neural modeling for large corpus item recommendations"). Trained
with the targets of a batch as each other's negatives, corrected for how often each is one
(framework/losses/in_batch.py). An item without events has its attributes alone, and training
prepares for that by leaving out some embeddings (DropoutNet, Volkovs et al. 2017).
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from podway.framework.config.model import ShardingRules
from podway.framework.embedding.lookup import EmbeddedRows, Lookup
from podway.framework.embedding.table import Embedding
from podway.framework.error import check
from podway.framework.formats import matrix
from podway.framework.input.dataset import Dataset
from podway.framework.losses import in_batch
from podway.framework.metrics import top_k
from podway.framework.models.parts import content
from podway.framework.models.parts.causal import ITEM
from podway.framework.models.parts.event_weights import (
    history_columns,
    may_be_targets,
    weights_at,
)
from podway.framework.models.parts.history import item_logits, item_rows, latest_of
from podway.framework.models.parts.transformer import drop
from podway.framework.schema.schema import FIRST_VALUE, PADDING, Schema
from podway.framework.task import (
    CONSTANTS,
    SERVING,
    Batch,
    Constants,
    ForwardContext,
    Loss,
    Recommender,
    TrainedModel,
)


@dataclasses.dataclass(frozen=True)
class TwoTower(TrainedModel, Recommender):
    """Retrieval by dot products of a user's vector and the items'."""

    sharding_rules: ClassVar[ShardingRules] = ((r"(.*/)?content/[^/]+/embedding", (None, None)),)

    width: int = 64
    """Width of the embeddings and of the vectors."""
    hidden: int = 128
    """Units of the layer in each tower."""
    attributes: tuple[str, ...] = ()
    """Features of the items' side table that the items' vectors are made of, too; ids each."""
    decays: tuple[float, ...] = (1.0, 0.8, 0.0)
    """The user's tower reads a mean of the history's items for each: an item's weight falls by this
    factor with each later one. 1 is the plain mean, 0 the latest item alone."""
    max_length: int = 100
    """Latest items that are read."""
    targets: int = 16
    """Items of each history that a batch predicts from those before them, drawn anew each time."""
    negatives: int = 0
    """Items drawn for each batch, uniformly from those with events, beside the batch's targets."""
    id_dropout: float = 0.0
    """Share of the items in a batch whose own embedding is left out: what is learnt for items
    without events."""
    dropout: float = 0.1
    """Dropout rate in the towers."""
    temperature: float | None = 0.07
    """Vectors have length 1, and their dot product is divided by this; None: plain dot product."""
    embedding: Embedding | None = None
    """Keep the items' embeddings as a sparse table, of which a step reads and writes only the rows
    that it needs. None: as an ordinary parameter."""

    def __post_init__(self):
        for field in ("width", "hidden", "max_length", "targets"):
            value = getattr(self, field)
            check(value >= 1, f"model.{field} is {value}; give 1 or more")
        check(self.negatives >= 0, f"model.negatives is {self.negatives}; give 0 or more")
        check(
            bool(self.decays) and all(0 <= decay <= 1 for decay in self.decays),
            f"model.decays is {self.decays}; give one or more factors from 0 to 1",
        )
        for field in ("id_dropout", "dropout"):
            value = getattr(self, field)
            check(0 <= value < 1, f"model.{field} is {value}; give a rate from 0 to below 1")
        check(
            self.id_dropout == 0 or bool(self.attributes),
            f"model.id_dropout is {self.id_dropout}, but without model.attributes nothing is left"
            " of an item; name some, or give 0",
        )
        check(
            self.temperature is None or self.temperature > 0,
            f"model.temperature is {self.temperature}; give more than 0, or None",
        )

    def build(self, schema: Schema, rngs: nnx.Rngs) -> "Towers":
        """The module, with a row for each item id."""
        return Towers(self, schema, rngs)

    def lengths(self, schema: Schema) -> dict[str, int]:
        """One item more than is read: the last one is only a target."""
        length = min(self.max_length + 1, schema["item"].max_length)
        return dict.fromkeys(history_columns(schema, "item"), length)

    def embeddings(self, schema: Schema) -> dict[str, str]:
        """The items' own."""
        return {"item": ITEM}

    def sparse(self, schema: Schema) -> dict[str, Embedding]:
        """The items', where `embedding` asks for it."""
        return {} if self.embedding is None else {ITEM: self.embedding}

    def in_formats(self, schema: Schema) -> tuple[str, ...]:
        """The items' own, of which the item's tower reads all."""
        return (ITEM,)

    def lookups(self, schema: Schema, batch: Batch, key: Array) -> dict[str, Lookup]:
        """The embeddings of the items, and of those that are drawn."""
        wanted = super().lookups(schema, batch, key)
        if self.negatives:
            shape = (self.negatives,)
            drawn = jax.random.randint(key, shape, FIRST_VALUE, schema["item"].size)
            wanted["negatives"] = Lookup(ITEM, drawn, shared=True)
        return wanted

    def reads(self, schema: Schema, batch: Batch) -> Batch:
        """The latest items of each history."""
        return {"item": latest_of(batch["item"], batch["item"], self.max_length)}

    def constants(self, dataset: Dataset) -> dict[str, np.ndarray]:
        """Events, shares and attributes of the items."""
        rows, features = (
            item_rows(dataset.schema["item"].size),
            content.described(dataset.schema, self.attributes),
        )
        found = content.constants(dataset, features, rows, self.targets)
        return {f"{CONSTANTS}/{name}": values for name, values in found.items()}

    def loss(
        self,
        module: "Towers",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext,
    ) -> Loss:
        """Cross-entropy of `targets` items of each history, among the items of the batch.

        With trainer.accumulate, the negatives are those of a part of the batch.
        """
        items = batch["item"]
        draw, forget, user_key, item_key, forget_drawn, drawn_key = context.keys(6)
        at, there = targets_of(may_be_targets(batch), self.targets, draw)
        weights = weights_at(batch, at, there)
        embedded = module.embed(items, drop_ids(self.id_dropout, rows["item"].values, forget))
        users = module.user(embedded, items >= FIRST_VALUE, at, user_key)
        chosen = jnp.take_along_axis(embedded, at[..., None], axis=1)
        ids = jnp.take_along_axis(items, at, axis=1).reshape(-1)
        users, chosen = (context.split(x.reshape(len(ids), -1)) for x in (users, chosen))
        chosen = module.item_vectors(chosen, item_key)
        own = jnp.einsum("nw,nw->n", users, chosen, preferred_element_type=jnp.float32)
        weights, owners = weights.reshape(-1), jnp.repeat(jnp.arange(len(items)), at.shape[1])
        there = there.reshape(-1)
        pool = [Candidates(chosen, ids, owners, there)]
        if self.negatives:
            drawn = rows["negatives"]
            kept = drop_ids(self.id_dropout, drawn.values, forget_drawn)
            vectors = module.item_vectors(context.whole(module.embed(drawn.ids, kept)), drawn_key)
            nobody = jnp.full_like(drawn.ids, -1)
            pool.append(Candidates(vectors, drawn.ids, nobody, module.trained(drawn.ids)))
        # Not one product of all candidates: the batch's are split among devices, the drawn are not.
        logits = [
            jnp.einsum("nw,cw->nc", users, each.vectors, preferred_element_type=jnp.float32)
            for each in pool
        ]
        negative = [in_batch.negatives_of(ids, owners, *each[1:]) for each in pool]
        q = [module.chance(each.ids, there.sum(), self.negatives) for each in pool]
        loss = in_batch.corrected_softmax_cross_entropy(
            own,
            jnp.concatenate(logits, axis=1),
            jnp.concatenate(negative, axis=1),
            jnp.concatenate(q),
            q[0],
            weights,
        )
        return loss, weights.sum().astype(jnp.float32), {"filled_targets": there.mean()}

    def scores(
        self,
        module: "Towers",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> Float[Array, "batch rows"]:
        """Logits (f32) of each row of the item table as the next item; −inf for no item."""
        return item_logits(*self.factors(module, batch, rows, context), module.items)

    def factors(
        self,
        module: "Towers",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> top_k.Factors:
        """The towers' vectors of each history and of each row of the item table."""
        item = batch["item"]
        embedded, end = module.embed(item, rows["item"].values), (item != PADDING).sum(1)[:, None]
        users = module.user(embedded, item >= FIRST_VALUE, end)[:, 0]
        return top_k.Factors(users, module.catalogue())


class Candidates(NamedTuple):
    """Items that may be negatives, whose targets they are (−1: nobody's), and which count."""

    vectors: Float[Array, "candidates width"]
    ids: Int[Array, " candidates"]
    owners: Int[Array, " candidates"]
    valid: Bool[Array, " candidates"]


class Towers(nnx.Module):
    """The two towers."""

    def __init__(self, config: TwoTower, schema: Schema, rngs: nnx.Rngs):
        self.items = schema["item"].size
        rows, features = item_rows(self.items), content.described(schema, config.attributes)
        init = nnx.initializers.normal(config.width**-0.5)
        self.item = nnx.Embed(rows, config.width, embedding_init=init, rngs=rngs)
        self.content = content.Content(features, config.width, rngs)
        self.constants = Constants(content.shapes(features, rows))
        self.user_tower = Tower(config, len(config.decays), rngs)
        self.item_tower = Tower(config, 1, rngs)
        self.decays = config.decays
        self.temperature = config.temperature

    def trained(self, ids: Int[Array, "*ids"] | None = None) -> Bool[Array, "*ids"]:
        """Whether items have events in the train split; of all rows without ids."""
        counts = self.constants[content.COUNTS]
        return (counts if ids is None else counts[ids]) > 0

    def chance(
        self, ids: Int[Array, "*ids"], targets: Float[Array, ""], drawn: int
    ) -> Float[Array, "*ids"]:
        """The share that items are expected to have of a batch's targets and its drawn items."""
        share, trained = self.constants[content.SHARES][ids], self.trained()
        uniform = trained[ids] / jnp.maximum(trained.sum(), 1)
        return in_batch.mixed_shares(share, uniform, targets, drawn)

    def embed(
        self, ids: Int[Array, "*ids"], own: Float[Array, "*ids width"]
    ) -> Float[Array, "*ids width"]:
        """Own embedding, where the item has events, plus the attributes'."""
        own = jnp.where(self.trained(ids)[..., None], own, 0)
        return own + self.content(self.constants, ids, own.dtype)

    def user(
        self,
        embedded: Float[Array, "batch length width"],
        valid: Bool[Array, "batch length"],
        at: Int[Array, "batch places"],
        key: Array | None = None,
    ) -> Float[Array, "batch places width"]:
        """The user's vector as of before the item at each place, from the valid ones before it."""
        age = at[..., None] - 1 - jnp.arange(embedded.shape[1])
        before = (age >= 0) & valid[:, None, :]
        decays = jnp.array(self.decays)[:, None]
        weights = jnp.where(before[:, :, None], decays ** jnp.maximum(age, 0)[:, :, None], 0.0)
        weights /= jnp.maximum(weights.sum(-1, keepdims=True), 1e-6)
        pooled = jnp.einsum("bpdl,blw->bpdw", weights.astype(embedded.dtype), embedded)
        vectors = self.user_tower(pooled.reshape(*at.shape, -1), key)
        return self._normal(vectors) / (self.temperature or 1.0)

    def item_vectors(
        self, embedded: Float[Array, "*ids width"], key: Array | None = None
    ) -> Float[Array, "*ids width"]:
        """The vectors of items from what `embed` returned."""
        return self._normal(self.item_tower(embedded, key))

    def catalogue(self) -> Float[Array, "rows width"]:
        """The vector of each row of the item table."""
        own = matrix.dense(self.item.embedding.get_value())
        return self.item_vectors(self.embed(jnp.arange(len(own)), own))

    def _normal(self, x: Float[Array, "*ids width"]) -> Float[Array, "*ids width"]:
        if self.temperature is None:
            return x
        x = x.astype(jnp.float32)
        return x * jax.lax.rsqrt((x * x).sum(-1, keepdims=True) + 1e-6)


class Tower(nnx.Module):
    """One hidden layer."""

    def __init__(self, config: TwoTower, inputs: int, rngs: nnx.Rngs):
        self.up = nnx.Linear(inputs * config.width, config.hidden, rngs=rngs)
        self.down = nnx.Linear(config.hidden, config.width, rngs=rngs)
        self.dropout = config.dropout

    def __call__(
        self, x: Float[Array, "*batch inputs_width"], key: Array | None
    ) -> Float[Array, "*batch width"]:
        """Vectors, of no particular length; nothing is dropped without a key."""
        return self.down(drop(self.dropout, jax.nn.gelu(self.up(x)), key))


def targets_of(
    known: Bool[Array, "batch length"], count: int, key: Array | None
) -> tuple[Int[Array, "batch places"], Bool[Array, "batch places"]]:
    """So many places of each row where an item is known, evenly drawn, and which there are.

    Without a key, the first ones. The item at place 0 has no history before it: a user of whom
    nothing is known.
    """
    draw = jnp.zeros(known.shape) if key is None else jax.random.uniform(key, known.shape)
    drawn, at = jax.lax.top_k(jnp.where(known, draw, -1.0), min(count, known.shape[1]))
    return at, drawn >= 0


def drop_ids(
    rate: float, own: Float[Array, "*ids width"], key: Array | None
) -> Float[Array, "*ids width"]:
    """Some items' own embeddings, whole, as zeros; the others as they are."""
    if key is None or rate == 0:
        return own
    return jnp.where(jax.random.bernoulli(key, 1 - rate, own.shape[:-1])[..., None], own, 0.0)
