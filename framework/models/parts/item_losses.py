"""Item losses: what the hidden state of a position is made to say of its target.

All compare the dot products of a state with items' embeddings; they differ in which other items the
target is compared with, and how. Drawn items are uniform over the catalogue; where the target is
among those drawn for its position, it is left out.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
from jaxtyping import Array, Float, Int

from podway.framework.embedding.lookup import EmbeddedRows, Lookup
from podway.framework.error import check
from podway.framework.losses import binary, sampled, softmax
from podway.framework.losses.weights import Weights
from podway.framework.schema.schema import FIRST_VALUE

NEGATIVES = "negatives"
"""Name of the lookup of drawn items."""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """States and what they are to predict.

    Attributes:
      hidden: the states.
      targets: ids of the items to predict.
      positives: the targets' embeddings.
      weights: what each position counts, [batch, length]; the targets of those that do are items.
      table: the items' embeddings; empty while it is a sparse table.
      items: ids FIRST_VALUE … items − 1 are items.
      devices: see task.ForwardContext.
    """

    hidden: Float[Array, "batch length width"]
    targets: Int[Array, "batch length"]
    positives: Float[Array, "batch length width"]
    weights: Weights
    table: Float[Array, "rows width"]
    items: int
    devices: jax.sharding.Mesh | None = None


@dataclasses.dataclass(frozen=True)
class ItemLoss:
    """What a state says of its target. Choose FullSoftmax, SampledSoftmax, Bce or GBce."""

    def lookups(
        self, path: str, targets: Int[Array, "batch length"], items: int, key: Array
    ) -> dict[str, Lookup]:
        """The rows of the item table at `path` that `loss` wants beside the targets'."""
        return {}

    def loss(self, each: Predictions, rows: Mapping[str, EmbeddedRows]) -> Float[Array, ""]:
        """Mean loss (nats, f32) of the positions that count."""
        raise NotImplementedError

    @property
    def draws_for_batch(self) -> bool:
        """Whether what is drawn is drawn once for the whole batch."""
        return False


@dataclasses.dataclass(frozen=True)
class FullSoftmax(ItemLoss):
    """Softmax cross-entropy over the whole catalogue, exactly."""

    def loss(self, each: Predictions, rows: Mapping[str, EmbeddedRows]) -> Float[Array, ""]:
        """−log softmax."""
        return softmax.linear_softmax_cross_entropy(
            each.hidden,
            each.table,
            each.targets,
            each.weights,
            FIRST_VALUE,
            each.items,
            each.devices,
        )


@dataclasses.dataclass(frozen=True)
class Drawn(ItemLoss):
    """What compares a target with items that are drawn. Choose SampledSoftmax, Bce or GBce."""

    negatives: int = 1
    """Items drawn for each owner."""
    drawn_for: Literal["position", "sequence", "batch"] = "sequence"
    """Who has items of its own: each position, which reads batch · length · negatives rows in a
    step; each sequence, whose positions share them; or only each batch."""

    def __post_init__(self):
        check(self.negatives >= 1, f"objective.negatives is {self.negatives}; give 1 or more")

    def lookups(
        self, path: str, targets: Int[Array, "batch length"], items: int, key: Array
    ) -> dict[str, Lookup]:
        """The drawn items."""
        owners = {"position": targets.shape, "sequence": targets.shape[:1], "batch": ()}
        shape = (*owners[self.drawn_for], self.negatives)
        drawn = jax.random.randint(key, shape, FIRST_VALUE, items)
        return {NEGATIVES: Lookup(path, drawn, shared=self.draws_for_batch)}

    @property
    def draws_for_batch(self) -> bool:
        """As `drawn_for` says."""
        return self.drawn_for == "batch"


@dataclasses.dataclass(frozen=True)
class SampledSoftmax(Drawn):
    """Softmax cross-entropy, its normalizer estimated from the drawn items."""

    negatives: int = 256
    """Items drawn for each owner, which stand for the whole catalogue."""
    drawn_for: Literal["position", "sequence", "batch"] = "batch"
    """Who has items of its own: each position, which reads batch · length · negatives rows in a
    step; each sequence, whose positions share them; or only each batch."""

    def loss(self, each: Predictions, rows: Mapping[str, EmbeddedRows]) -> Float[Array, ""]:
        """−log softmax, estimated."""
        return sampled.sampled_softmax_cross_entropy(
            each.hidden,
            each.positives,
            each.targets,
            each.weights,
            rows[NEGATIVES].values,
            rows[NEGATIVES].ids,
            each.items - FIRST_VALUE,
        )


@dataclasses.dataclass(frozen=True)
class Bce(Drawn):
    """Binary cross-entropy of the target and of drawn items (Kang & McAuley 2018, with one for each
    position)."""

    def beta(self, items: int) -> float:
        """What the target's term is multiplied by."""
        return 1.0

    def loss(self, each: Predictions, rows: Mapping[str, EmbeddedRows]) -> Float[Array, ""]:
        """−β log σ(target) − Σ log(1 − σ(drawn)), over 1 + negatives."""
        return binary.binary_cross_entropy(
            each.hidden,
            each.positives,
            each.targets,
            each.weights,
            rows[NEGATIVES].values,
            rows[NEGATIVES].ids,
            self.beta(each.items),
            each.devices,
        )


@dataclasses.dataclass(frozen=True)
class GBce(Bce):
    """Generalised BCE of gSASRec (Petrov & Macdonald 2023, arXiv:2308.07192).

    Drawing a few items makes a model too sure of its targets; β = α(t(1 − 1/α) + 1/α), where
    α = negatives / (catalogue − 1) is the share of items that is drawn, takes that back.
    """

    negatives: int = 256
    """Items drawn for each owner."""
    t: float = 0.75
    """Calibration: at 0 this is Bce, at 1 probabilities are calibrated (β = α)."""

    def __post_init__(self):
        super().__post_init__()
        check(0 <= self.t <= 1, f"objective.t is {self.t}; give a number from 0 to 1")

    def beta(self, items: int) -> float:
        """Less, the fewer items are drawn."""
        share = min(1.0, self.negatives / (items - FIRST_VALUE - 1))
        return share * (self.t * (1 - 1 / share) + 1 / share)
