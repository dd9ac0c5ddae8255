"""Full-catalogue evaluation: the rank of each user's target among all items."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from framework import config, mesh, metrics, ranking
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
      nll: negative log-likelihood (nats) of each user's target by the softmax of all items' scores,
        [users]; infinite where the vocabulary lacks it. It means something where scores are logits.
      wanted: ids of the targets, [users].
    """

    target: np.ndarray
    lists: np.ndarray
    nll: np.ndarray
    wanted: np.ndarray


def rank_split(
    scorer: Scorer,
    dataset: Dataset,
    split: str,
    options: config.Evaluation,
    label: str = "",
    devices: jax.sharding.Mesh | None = None,
) -> Ranks:
    """Ranks the whole catalogue for each example of a split.

    Args:
      scorer: gives the scores.
      dataset: to read from; with several processes, in each of them.
      split: of the dataset.
      options: cutoffs, batch size, and whether seen items are filtered.
      label: for the progress bar.
      devices: to lay the histories on, split over all where the batch divides; with several
        processes all must call, and all get all ranks. None: histories stay NumPy arrays.

    Raises:
      ConfigError: the split has no examples.
    """
    item = dataset.schema["item"]
    check(
        dataset.examples(split) > 0, f"{dataset.directory} has no {split} examples to evaluate on"
    )
    k = min(max(options.cutoffs), item.size)
    parts = []
    batches = evaluation_batches(
        dataset, split, history=item.max_length, batch_size=options.batch_size
    )
    place, judge = _placer(devices), _judge(item.size, k, options.exclude_seen, devices)
    with tqdm(
        total=dataset.examples(split),
        desc=label or split,
        unit="user",
        leave=bool(label),
        disable=devices is not None and jax.process_index() != 0,
    ) as bar:
        for batch in batches:
            history = place(batch["history"])
            judged = jax.device_get(judge(scorer(history), history, place(batch["target"])))
            parts.append([each[batch["valid"]] for each in (*judged, batch["target"])])
            bar.update(int(batch["valid"].sum()))
    return Ranks(*map(np.concatenate, zip(*parts, strict=True)))


def _placer(devices: jax.sharding.Mesh | None) -> Callable[[np.ndarray], Any]:
    def place(array: np.ndarray) -> Any:
        if devices is None:
            return array
        sharding = mesh.examples_sharding(devices, len(array))
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return place


@functools.lru_cache(maxsize=16)
def _judge(
    catalogue: int, k: int, exclude_seen: bool, devices: jax.sharding.Mesh | None
) -> Callable[..., Any]:
    """(scores, history, target) → the first arrays of Ranks, the same in all processes."""

    def judge(scores, history, target):
        allowed = ranking.exclude(scores, history if exclude_seen else None, catalogue)
        best, ids = ranking.top_k(allowed, k)
        return (
            ranking.rank(allowed, target),
            jnp.where(best == ranking.EXCLUDED, PADDING, ids),
            ranking.negative_log_likelihood(scores, target, catalogue),
        )

    return jax.jit(judge, out_shardings=mesh.replicated(devices) if devices else None)


def summarize(
    ranks: Ranks,
    options: config.Evaluation,
    train_counts: np.ndarray,
    *,
    likelihood: bool = False,
) -> dict[str, dict[str, float]]:
    """{metric@k: {"value": …}}, with the 95 % interval "low", "high" of each mean over users.

    With `likelihood`, which is for scores that are logits, also "nll" (nats), its mean over the
    users whose target the vocabulary has. Where some targets are items without training events
    (config.SideTable.catalogue), also "cold_hr@k", the hit rate of these alone.
    """
    catalogue = len(train_counts) - FIRST_VALUE
    table: dict[str, dict[str, float]] = {}

    def mean(values: np.ndarray) -> dict[str, float]:
        low, high = metrics.bootstrap_interval(values, options.bootstrap, options.seed)
        return {"value": float(values.mean()), "low": low, "high": high}

    for k in options.cutoffs:
        for name, metric in metrics.PER_USER.items():
            table[f"{name}@{k}"] = mean(metric(ranks.target, k))
        table[f"coverage@{k}"] = {"value": metrics.coverage(ranks.lists, k, catalogue)}
        table[f"popularity_bias@{k}"] = {
            "value": metrics.popularity_bias(ranks.lists, k, train_counts)
        }
    items = ranks.wanted >= FIRST_VALUE
    cold = items & (train_counts[np.where(items, ranks.wanted, 0)] == 0)
    if cold.any():
        for k in options.cutoffs:
            table[f"cold_hr@{k}"] = mean(metrics.PER_USER["hr"](ranks.target[cold], k))
    known = ranks.nll[np.isfinite(ranks.nll)]
    if likelihood and len(known):
        table["nll"] = mean(known)
    return table
