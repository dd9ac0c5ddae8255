"""SASRec: self-attentive sequential recommendation (Kang & McAuley, 2018, arXiv:1808.09781).

A causal transformer reads a user's items and at each position predicts the next one. Here, unless
its switches say otherwise, with pre-norm blocks and full softmax cross-entropy over the catalogue
(Klenitskiy & Vasilev, 2023, arXiv:2309.07602). The family, as switches:

  SASRec as published  objective Bce(negatives=1, drawn_for="position")
  gSASRec              objective GBce(negatives=256, t=0.75) (arXiv:2308.07192)
  eSASRec              block "ligr", objective SampledSoftmax(256) (arXiv:2508.06450)
"""

import dataclasses
from typing import Self

from flax import nnx

from podway.framework.config.fields import later
from podway.framework.models.parts import shrink
from podway.framework.models.parts.causal import CausalModel
from podway.framework.models.parts.transformer import Block, Kind


@dataclasses.dataclass(frozen=True)
class SasRec(CausalModel):
    """Causal transformer over the user's items."""

    feed_forward: int = 4
    """Width of the feed-forward layer, in multiples of `width`."""
    block_kind: Kind = "pre"
    """Norm after or before each layer, or before it with a gate behind (LiGR)."""
    feed_forward_units: int | None = later(None)
    """Units of the feed-forward layer, where they are no multiple of `width`; None: as
    `feed_forward` says. Compression sets it, when it leaves units out."""
    head_width: int | None = later(None)
    """Width of a head; None: width / heads. Compression sets it, when it leaves heads out."""

    def block_module(self, rngs: nnx.Rngs) -> Block:
        """A transformer's block."""
        wide = self.feed_forward_units or self.width * self.feed_forward
        return Block(
            self.width, self.heads, wide, self.dropout, self.block_kind, rngs, self.head_width
        )

    def groups(self, what: shrink.What) -> tuple[shrink.Group, ...]:
        """See shrink.Shrinkable."""
        return shrink.transformer_groups(self, what)

    def left(self, what: shrink.What, counts: tuple[int, ...]) -> Self:
        """See shrink.Shrinkable."""
        return shrink.smaller_transformer(self, what, counts)
