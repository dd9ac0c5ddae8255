"""The evaluator of models that recommend: the whole catalogue is ranked for each user."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from podway.framework import config, task
from podway.framework.evaluation import ranks, samples, slices
from podway.framework.evaluation.evaluator import Compute, Evaluate, EvaluationResult, answers
from podway.framework.input.dataset import Dataset
from podway.framework.input.interactions import target_counts
from podway.framework.models.popularity import Popularity
from podway.framework.models.sequence_knn import SequenceKnn
from podway.framework.schema.schema import Schema

BASELINES: dict[str, task.FittedModel] = {"popularity": Popularity(), "seq-KNN": SequenceKnn()}
"""Beside which each model is shown."""


@dataclasses.dataclass(frozen=True)
class RankingEvaluator:
    """Ranks each user's target among all items (an Evaluator, framework/evaluation/evaluator.py).

    Attributes:
      model: whose scores are ranked.
      options: cutoffs, and what may be recommended.
    """

    model: task.Recommender
    options: config.Evaluation

    largest_is_best = True

    @property
    def metric(self) -> str:
        """NDCG at the first cutoff."""
        return f"ndcg@{self.options.cutoffs[0]}"

    @property
    def remark(self) -> str:
        """A warning of sampled metrics, where they were asked for."""
        if not self.options.sampled_negatives:
            return ""
        return (
            f"sampled_*: among {self.options.sampled_negatives} random items; comparable neither"
            " with the other rows nor with other papers' (Krichene & Rendle 2020)."
        )

    def shapes(self, schema: Schema) -> dict[str, jax.ShapeDtypeStruct]:
        """Histories i32 [users, length], with their times where the model reads them."""
        users = self.options.batch_size
        history = jax.ShapeDtypeStruct((users, schema["item"].max_length), jnp.int32)
        return dict.fromkeys(["item", "time"] if self.model.reads_times() else ["item"], history)

    def inference(self, schema: Schema) -> task.Inference:
        """Scores f32 [users, rows] of histories; their factors, where blocks are asked for."""
        head = self.model.scores
        if self.options.score_block_items is not None and isinstance(self.model, task.Factored):
            head = self.model.factors
        return task.inference(self.model, schema, head)

    def for_split(
        self,
        dataset: Dataset,
        split: str,
        *,
        devices: jax.sharding.Mesh | None = None,
        intervals: bool = True,
    ) -> Evaluate:
        """Ranks a split's users; see Evaluator. Slices of them are for those with intervals."""
        options = dataclasses.replace(
            self.options, bootstrap=self.options.bootstrap if intervals else 1
        )
        counts, fitted = target_counts(dataset), isinstance(self.model, task.FittedModel)

        def evaluate(
            compute: Compute, label: str = "", *, baseline: bool = False
        ) -> EvaluationResult:
            times = self.model.reads_times() and not baseline
            found = ranks.rank_split(
                compute, dataset, split, options, label, devices=devices, times=times
            )
            likelihood = not (baseline or fitted)  # whose scores are no logits
            table = ranks.summarize(found, options, counts, likelihood=likelihood)
            if intervals:
                table |= slices.summarize(found, options, counts)
            lists = found.lists[samples.chosen(found.target, found.lists.shape[1])]
            return EvaluationResult(table, found.target.astype(np.int32), lists)

        return evaluate

    def baselines(self, dataset: Dataset, seed: int) -> dict[str, Compute]:
        """Popularity, and items that followed the latest ones; not what the model itself is."""
        return {
            name: answers(
                RankingEvaluator(baseline, self.options),
                dataset.schema,
                baseline.fit(dataset, seed),
            )
            for name, baseline in BASELINES.items()
            if baseline != self.model
        }
