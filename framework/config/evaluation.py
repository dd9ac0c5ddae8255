"""How a model is evaluated."""

import dataclasses

from podway.framework.config.fields import neutral
from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Ranking of the full catalogue for each test user."""

    cutoffs: tuple[int, ...] = (10, 20)
    """The k of HR@k, NDCG@k, MRR@k and coverage@k; the first chooses the best checkpoint."""
    exclude_seen: bool = True
    """Leave out what is in the history, here and in what is served. Without it, an item that comes
    again counts, as the next token of a text does: hr@1 is then the accuracy of the best guess."""
    batch_size: int = neutral(256)
    """Users ranked at once."""
    score_block_items: int | None = neutral(None)
    """Items scored at once on the test split, where a model's scores are dot products: memory then
    does not grow with the catalogue. None: all."""
    sampled_negatives: int | None = None
    """Also rank each target among so many random items alone, as older papers do. Such metrics are
    not comparable with anything else. None: don't."""
    bootstrap: int = 1000
    """Resamples of the users behind each 95 % confidence interval."""
    seed: int = 0
    """Seed of the resamples, and of the sampled negatives."""

    def __post_init__(self):
        check(
            bool(self.cutoffs) and min(self.cutoffs) >= 1,
            f"evaluation.cutoffs is {self.cutoffs}; give one or more numbers from 1",
        )
        for field in ("score_block_items", "sampled_negatives"):
            value = getattr(self, field)
            check(
                value is None or value >= 1,
                f"evaluation.{field} is {value}; give 1 or more, or None",
            )
