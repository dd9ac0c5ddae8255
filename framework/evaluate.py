"""Full-catalogue evaluation: the rank of each user's target among all items, seen ones filtered."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from framework import config, metrics, ranking
from framework.error import check
from framework.input import Dataset, evaluation_batches
from framework.schema import FIRST_VALUE, PADDING

Scorer = Callable[[Any], Any]
"""History i32 [batch, length] → scores f32 [batch, rows]; NumPy or JAX."""


@dataclasses.dataclass(frozen=True)
class Ranks:
    """What a scorer did on a split.

    Attributes:
      target: rank of each user's target, from 1, [users].
      lists: ids of each user's best items, [users, k]; PADDING where too few were left.
    """

    target: np.ndarray
    lists: np.ndarray


def rank_split(
    scorer: Scorer, dataset: Dataset, split: str, options: config.Evaluation, label: str = ""
) -> Ranks:
    """Ranks the whole catalogue for each example of a split. Raises ConfigError if it has none."""
    item = dataset.schema["item"]
    check(
        dataset.examples(split) > 0, f"{dataset.directory} has no {split} examples to evaluate on"
    )
    k = min(max(options.cutoffs), item.size)
    targets, lists = [], []
    batches = evaluation_batches(
        dataset, split, history=item.max_length, batch_size=options.batch_size
    )
    with tqdm(
        total=dataset.examples(split), desc=label or split, unit="user", leave=bool(label)
    ) as bar:
        for batch in batches:
            scores = scorer(batch["history"])
            target, best = jax.device_get(
                _judge(scores, batch["history"], batch["target"], catalogue=item.size, k=k)
            )
            targets.append(target[batch["valid"]])
            lists.append(best[batch["valid"]])
            bar.update(int(batch["valid"].sum()))
    return Ranks(np.concatenate(targets), np.concatenate(lists))


@functools.partial(jax.jit, static_argnames=("catalogue", "k"))
def _judge(scores, history, target, *, catalogue: int, k: int):
    allowed = ranking.exclude(scores, history, catalogue)
    best, ids = ranking.top_k(allowed, k)
    return ranking.rank(allowed, target), jnp.where(best == ranking.EXCLUDED, PADDING, ids)


def summarize(
    ranks: Ranks, options: config.Evaluation, train_counts: np.ndarray
) -> dict[str, dict[str, float]]:
    """{metric@k: {"value": …}}, with the 95 % interval "low", "high" of each mean over users."""
    catalogue = len(train_counts) - FIRST_VALUE
    table: dict[str, dict[str, float]] = {}
    for k in options.cutoffs:
        for name, metric in metrics.PER_USER.items():
            values = metric(ranks.target, k)
            low, high = metrics.bootstrap_interval(values, options.bootstrap, options.seed)
            table[f"{name}@{k}"] = {"value": float(values.mean()), "low": low, "high": high}
        table[f"coverage@{k}"] = {"value": metrics.coverage(ranks.lists, k, catalogue)}
        table[f"popularity_bias@{k}"] = {
            "value": metrics.popularity_bias(ranks.lists, k, train_counts)
        }
    return table
