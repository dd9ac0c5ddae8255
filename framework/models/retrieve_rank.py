"""Retrieve, then rank: two towers choose some candidates of all items, a ranker puts them in order.

The two stages of Covington et al. 2016 ("Deep neural networks for YouTube recommendations") as one
model: trained together, evaluated as a chain, and served as one graph. The ranker sees for each
candidate what a dot product cannot: which items of the history are like it and how long ago they
were (attention to the history by candidate, Zhou et al. 2018, "Deep interest network for
click-through rate prediction"). It learns to tell targets from candidates that the retrieval would
have given it; no gradient of its own reaches the retrieval.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from podway.framework.config.model import Model, ShardingRules
from podway.framework.embedding.lookup import EmbeddedRows, Lookup
from podway.framework.error import check
from podway.framework.formats import matrix
from podway.framework.input.dataset import Dataset
from podway.framework.losses.weights import divisor, weigh
from podway.framework.metrics import top_k
from podway.framework.models.parts import content
from podway.framework.models.parts.event_weights import may_be_targets, weights_at
from podway.framework.models.parts.history import item_logits
from podway.framework.models.parts.transformer import drop
from podway.framework.models.two_tower import Towers, TwoTower, targets_of
from podway.framework.schema.schema import FIRST_VALUE, PADDING, Schema
from podway.framework.task import SERVING, Batch, ForwardContext, Loss, Recommender, TrainedModel

PREFIX = "retrieval/"
"""Of the paths of the retrieval's parameters."""

HISTORY = "history"
"""Column of what is answered: the items that are no candidates."""


@dataclasses.dataclass(frozen=True)
class RetrieveRank(TrainedModel, Recommender):
    """Two towers, and a ranker of the items that they retrieve."""

    sharding_rules: ClassVar[ShardingRules] = (
        *TwoTower.sharding_rules,
        (r"ranker/up/kernel", (None, "tensor")),
    )

    retrieval: TwoTower = TwoTower()
    """Chooses the candidates."""
    candidates: int = 200
    """Items that are ranked; the others follow in the order of the retrieval. 0: it alone."""
    targets: int = 4
    """Items of each history that a batch teaches the ranker, drawn anew each time; those that the
    retrieval would not have found are left out."""
    sampled: int = 32
    """Candidates of each target that it is held against, drawn evenly from all of them."""
    hidden: int = 128
    """Units of the ranker's layer."""
    dropout: float = 0.3
    """Dropout rate in the ranker."""

    def __post_init__(self):
        check(self.candidates >= 0, f"model.candidates is {self.candidates}; give 0 or more")
        for field in ("targets", "sampled", "hidden"):
            value = getattr(self, field)
            check(value >= 1, f"model.{field} is {value}; give 1 or more")
        check(
            0 <= self.dropout < 1, f"model.dropout is {self.dropout}; give a rate from 0 to below 1"
        )
        check(
            self.retrieval.embedding is None,
            "model.retrieval.embedding asks for a sparse table, but the candidates are the best of"
            " all items at each step; give None",
        )

    def build(self, schema: Schema, rngs: nnx.Rngs) -> "Chain":
        """Both stages."""
        return Chain(self, schema, rngs)

    def lengths(self, schema: Schema) -> dict[str, int]:
        """The retrieval's."""
        return self.retrieval.lengths(schema)

    def embeddings(self, schema: Schema) -> dict[str, str]:
        """The retrieval's."""
        found = self.retrieval.embeddings(schema)
        return {name: PREFIX + path for name, path in found.items()}

    def in_formats(self, schema: Schema) -> tuple[str, ...]:
        """The retrieval's."""
        return tuple(PREFIX + path for path in self.retrieval.in_formats(schema))

    def reads(self, schema: Schema, batch: Batch) -> Batch:
        """What the retrieval reads; and the whole history, none of which is a candidate."""
        return {**self.retrieval.reads(schema, batch), HISTORY: batch["item"]}

    def lookups(self, schema: Schema, batch: Batch, key: Array) -> dict[str, Lookup]:
        """The retrieval's."""
        wanted = self.retrieval.lookups(schema, batch, key)
        return {
            name: dataclasses.replace(each, path=PREFIX + each.path)
            for name, each in wanted.items()
        }

    def constants(self, dataset: Dataset) -> dict[str, np.ndarray]:
        """The retrieval's."""
        found = self.retrieval.constants(dataset)
        return {PREFIX + path: values for path, values in found.items()}

    def beside(self) -> dict[str, Model]:
        """The retrieval alone, with the same parameters."""
        return {"retrieval": dataclasses.replace(self, candidates=0)} if self.candidates else {}

    def loss(
        self,
        module: "Chain",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext,
    ) -> Loss:
        """The retrieval's loss plus the ranker's, of as many targets as there are in the batch."""
        first, second = context.keys(2)
        retrieval, weight, metrics = self.retrieval.loss(
            module.retrieval, batch, rows, dataclasses.replace(context, key=first)
        )
        context = dataclasses.replace(context, key=second)
        ranker = self.ranking_loss(module, batch, rows["item"], context)
        metrics |= {"retrieval_loss": retrieval, "ranking_loss": ranker}
        return retrieval + ranker, weight, metrics

    def ranking_loss(
        self, module: "Chain", batch: Batch, rows: EmbeddedRows, context: ForwardContext
    ) -> Float[Array, ""]:
        """Weighted mean of −log softmax(target) (nats, f32) among some of the candidates.

        Of those targets that the retrieval would have found: the others are nothing to rank.
        Without a key, the candidates are the best ones.
        """
        items = rows.ids
        draw, choose, drop_key = context.keys(3)
        at, there = targets_of(may_be_targets(batch), self.targets, draw)
        ids = jnp.take_along_axis(items, at, axis=1)
        before = jnp.arange(items.shape[1]) < at[..., None]
        read = Read(*map(jax.lax.stop_gradient, module.read(items, at, rows.values)))
        logits = module.retrieve(read, context)
        seen = jnp.where(before, items[:, None, :], PADDING)
        seen = jnp.concatenate([seen, ids[..., None]], axis=-1)
        flat = (-1, logits.shape[-1])
        allowed = top_k.exclude(
            logits.reshape(flat), seen.reshape(-1, seen.shape[-1]), module.retrieval.items
        )
        best, candidates = top_k.top_k(allowed, module.limit(self.candidates))
        own = jnp.take_along_axis(logits, ids[..., None], axis=-1)[..., 0]
        # Else the ranker would learn that a target is what the retrieval thinks little of.
        weights = weights_at(batch, at, there & (own >= best[:, -1].reshape(own.shape)))
        shape = (len(best), min(self.sampled, best.shape[1]))
        chosen = jnp.broadcast_to(jnp.arange(shape[1]), shape)
        if choose is not None:
            chosen = jax.random.randint(choose, shape, 0, best.shape[1])
        others = jnp.take_along_axis(candidates, chosen, axis=1).reshape(*at.shape, -1)
        there = jnp.take_along_axis(best, chosen, axis=1).reshape(others.shape) != top_k.EXCLUDED
        listed = jnp.concatenate([ids[..., None], others], axis=-1)
        scores = module.rank(
            read,
            listed,
            jnp.take_along_axis(logits, listed, axis=-1),
            dataclasses.replace(context, key=drop_key),
        )
        there = jnp.concatenate([jnp.ones_like(ids, bool)[..., None], there], axis=-1)
        scores = jnp.where(there, scores, -jnp.inf)
        terms = weigh(jax.nn.logsumexp(scores, axis=-1) - scores[..., 0], weights)
        return terms.sum() / divisor(weights)

    def scores(
        self,
        module: "Chain",
        batch: Batch,
        rows: Mapping[str, EmbeddedRows],
        context: ForwardContext = SERVING,
    ) -> Float[Array, "batch rows"]:
        """Scores (f32) of each row of the item table as the next item; −inf for no item.

        The candidates, which are not of the history, have the ranker's; all others lie below
        them, in the retrieval's order. Without a known item in the history, the more events an item
        has, the higher.
        """
        read, history = batch["item"], batch[HISTORY]
        end = (read != PADDING).sum(1)[:, None]
        seen = module.read(read, end, rows["item"].values)
        logits = module.retrieve(seen, context)[:, 0]
        scores = logits
        if self.candidates:
            allowed = top_k.exclude(logits, history, module.retrieval.items)
            best, ids = top_k.top_k(allowed, module.limit(self.candidates))
            there = best != top_k.EXCLUDED
            ranked = module.rank(seen, ids[:, None], best[:, None], context)[:, 0]
            lowest = jnp.where(there, ranked, jnp.inf).min(1, keepdims=True)
            # The retrieval's best that is no candidate comes right after the last candidate. What
            # is in the history may have a higher logit than that: it is held down.
            below = jnp.minimum(logits - best[:, -1:], 0.0) + lowest - 1.0
            scores = jnp.where(jnp.isfinite(best[:, -1:]), below, logits)
            row = jnp.arange(ids.shape[0])[:, None]
            scores = scores.at[row, ids].set(jnp.where(there, ranked, scores[row, ids]))
        known = (history >= FIRST_VALUE).any(1, keepdims=True)
        popular = jnp.where(jnp.isfinite(logits), module.popularity(), -jnp.inf)
        return jnp.where(known, scores, popular)


class Chain(nnx.Module):
    """Both stages."""

    def __init__(self, config: RetrieveRank, schema: Schema, rngs: nnx.Rngs):
        self.retrieval = Towers(config.retrieval, schema, rngs)
        self.ranker = Ranker(config, rngs)

    def limit(self, candidates: int) -> int:
        """That many candidates, or all items."""
        return min(candidates, self.retrieval.items - FIRST_VALUE)

    def popularity(self) -> Float[Array, " rows"]:
        """log(1 + events in the train split)."""
        return jnp.log1p(self.retrieval.constants[content.COUNTS].astype(jnp.float32))

    def read(
        self,
        items: Int[Array, "batch length"],
        at: Int[Array, "batch places"],
        own: Float[Array, "batch length width"],
    ) -> "Read":
        """What both stages know of users as of before the item at each place.

        `own` are the items' own embeddings.
        """
        embedded, valid = self.retrieval.embed(items, own), items >= FIRST_VALUE
        return Read(embedded, valid, at, self.retrieval.user(embedded, valid, at))

    def retrieve(self, read: "Read", context: ForwardContext) -> Float[Array, "batch places rows"]:
        """The retrieval's logits of all items, f32, without a gradient; −inf for no item."""
        vectors = context.whole(jax.lax.stop_gradient(self.retrieval.catalogue()))
        return item_logits(read.users, vectors, self.retrieval.items)

    def rank(
        self,
        read: "Read",
        ids: Int[Array, "batch places candidates"],
        logits: Float[Array, "batch places candidates"],
        context: ForwardContext,
    ) -> Float[Array, "batch places candidates"]:
        """The ranker's scores (f32) of candidates, which the retrieval gave these logits."""
        table = self.retrieval.item.embedding.get_value()
        own = matrix.rows(jax.tree.map(context.whole, table), ids)
        embedded = jax.lax.stop_gradient(self.retrieval.embed(ids, own))
        return self.ranker(read, embedded, logits, self.popularity()[ids], context)


class Read(NamedTuple):
    """Users as of some places in their histories: items, which are known, places, and vectors."""

    embedded: Float[Array, "batch length width"]
    valid: Bool[Array, "batch length"]
    at: Int[Array, "batch places"]
    users: Float[Array, "batch places width"]


class Ranker(nnx.Module):
    """logit + feed_forward(user, candidate, history as seen from the candidate, logit, events)."""

    def __init__(self, config: RetrieveRank, rngs: nnx.Rngs):
        width, longest = config.retrieval.width, config.retrieval.max_length + 1
        init = nnx.initializers.normal(width**-0.5)
        self.position = nnx.Embed(longest, width, embedding_init=init, rngs=rngs)
        self.query = nnx.Linear(width, width, rngs=rngs)
        self.key = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.up = nnx.Linear(4 * width + 2, config.hidden, rngs=rngs)
        # It starts as the retrieval.
        zeros = nnx.initializers.zeros
        self.score = nnx.Linear(config.hidden, 1, kernel_init=zeros, rngs=rngs)
        self.dropout = config.dropout

    def __call__(
        self,
        read: Read,
        candidates: Float[Array, "batch places candidates width"],
        logits: Float[Array, "batch places candidates"],
        popularity: Float[Array, " batch places candidates"],
        context: ForwardContext,
    ) -> Float[Array, "batch places candidates"]:
        """Scores, f32. How long ago an item was is the number of items since then."""
        length, dtype = read.embedded.shape[1], read.embedded.dtype
        age = read.at[..., None] - 1 - jnp.arange(length)
        before = (age >= 0) & read.valid[:, None, :]
        table = context.whole(self.position.embedding.get_value())
        ago = jnp.take(table, jnp.clip(age, 0, len(table) - 1), axis=0)
        history = read.embedded[:, None] + ago
        weights = jnp.einsum(
            "bpcw,bplw->bpcl",
            self.query(candidates),
            self.key(history),
            preferred_element_type=jnp.float32,
        )
        weights = jnp.where(before[:, :, None], weights * candidates.shape[-1] ** -0.5, -1e9)
        weights = jnp.where(before[:, :, None], jax.nn.softmax(weights, axis=-1), 0.0)
        attended = jnp.einsum("bpcl,bplw->bpcw", weights.astype(dtype), history)
        users = jnp.broadcast_to(read.users[:, :, None], candidates.shape).astype(dtype)
        numbers = jnp.stack([logits, popularity], axis=-1).astype(dtype)
        together = [users, candidates, attended, attended * candidates, numbers]
        up = jax.nn.gelu(self.up(jnp.concatenate(together, axis=-1)))
        return logits + self.score(drop(self.dropout, up, context.key))[..., 0].astype(jnp.float32)
