"""How a model is served."""

import dataclasses
from typing import Literal

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Card:
    """What the card beside a published model says of it, in your words."""

    description: str = ""
    """What the model is, for somebody who has not heard of it."""
    intended_use: str = ""
    """For whom and what it is meant."""
    limits: str = ""
    """What it must not be used for, and what it is known to get wrong."""
    license: str = ""
    """Under which license it may be used: an SPDX name such as Apache-2.0, or words."""


@dataclasses.dataclass(frozen=True)
class Export:
    """Run → SavedModel for TensorFlow Serving."""

    target: Literal["2.18", "2.19", "2.20", "2.21"] = "2.18"
    """Oldest TensorFlow (Serving) that must be able to run the model."""
    top_k: int = 20
    """Recommendations returned per request row."""
    batch_buckets: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """Batch sizes that are compiled; a request is padded, inside the graph, to the next one."""
    max_history: int | None = None
    """Latest events of a request that are looked at, and filtered from the answer where
    evaluation.exclude_seen says so; None: the longest history in the dataset, rounded up to a power
    of two."""
    candidate_filter: bool = False
    """Whether a recommender also has the signature `filtered`, whose requests bring lists of items
    to choose from and to leave out; it is compiled beside the others when a server loads it."""
    answers: tuple[str, ...] = ()
    """Columns of items, of those that data.tables keep as text, to serve beside each recommended
    item, as outputs of their names: ("title",)."""
    beside: tuple[Literal["jax-export", "weights"], ...] = ()
    """What to add to the SavedModel for JAX: the served function, serialised by jax.export; the
    parameters, as an Orbax checkpoint."""

    card: Card = Card()
    """What the model's card says."""

    def __post_init__(self):
        check(self.top_k >= 1, f"export.top_k is {self.top_k}; give 1 or more")
        check(
            bool(self.batch_buckets)
            and min(self.batch_buckets) >= 1
            and tuple(sorted(set(self.batch_buckets))) == self.batch_buckets,
            f"export.batch_buckets is {self.batch_buckets}; give rising sizes from 1",
        )
        for name in self.answers:
            check(
                name not in ("item", "score") and self.answers.count(name) == 1,
                f"export.answers names {name!r}, which an answer has already; leave it out",
            )
        check(
            self.max_history is None or self.max_history >= 1,
            f"export.max_history is {self.max_history}; give 1 or more, or None",
        )
