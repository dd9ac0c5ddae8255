"""The judge of models that recommend: the whole catalogue is ranked for each user."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from framework import baselines, config, evaluate
from framework.dataset import Dataset
from framework.judge import Compute, Examine, Metrics
from framework.schema import Schema
from framework.task import Pass, Recommender


@dataclasses.dataclass(frozen=True)
class NextItem:
    """Ranks each user's target among all items (a Judge, framework/judge.py).

    Attributes:
      model: whose scores are ranked.
      options: cutoffs, and what may be recommended.
    """

    model: Recommender
    options: config.Evaluation

    largest_is_best = True

    @property
    def metric(self) -> str:
        """NDCG at the first cutoff."""
        return f"ndcg@{self.options.cutoffs[0]}"

    def shapes(self, schema: Schema) -> jax.ShapeDtypeStruct:
        """Histories i32 [users, length]."""
        users = self.options.batch_size
        return jax.ShapeDtypeStruct((users, schema["item"].max_length), jnp.int32)

    def compute(self, module: Any, batch: Any, how: Pass) -> Any:
        """Scores f32 [users, rows] for histories."""
        return self.model.scores(module, batch, how)

    def examiner(
        self,
        dataset: Dataset,
        split: str,
        *,
        devices: jax.sharding.Mesh | None = None,
        intervals: bool = True,
    ) -> Examine:
        """Ranks the users of a split; see Judge."""
        options = dataclasses.replace(
            self.options, bootstrap=self.options.bootstrap if intervals else 1
        )
        counts = baselines.train_counts(dataset)

        def examine(compute: Compute, label: str = "", *, baseline: bool = False) -> Metrics:
            ranks = evaluate.rank_split(compute, dataset, split, options, label, devices=devices)
            return evaluate.summarize(ranks, options, counts, likelihood=not baseline)

        return examine

    def baselines(self, dataset: Dataset) -> dict[str, Compute]:
        """Popularity, and items that followed the latest ones."""
        return {
            "popularity": baselines.Popularity.fit(dataset).scores,
            "seq-KNN": baselines.SequentialKnn.fit(dataset).scores,
        }
