"""Full-catalogue evaluation: the rank of each user's target among all items."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from podway.framework import config, progress
from podway.framework.devices import mesh
from podway.framework.error import check
from podway.framework.input.batches import Dataset, evaluation_batches
from podway.framework.input.columns import concatenate
from podway.framework.input.placement import examples_placer
from podway.framework.metrics import ranking, top_k
from podway.framework.schema.schema import FIRST_VALUE, PADDING

Scorer = Callable[[Any], Any]
"""{"item": histories i32 [batch, length], "time": if asked for} → scores f32 [batch, rows],
NumPy or JAX; or top_k.Factors, whose products these are."""


@dataclasses.dataclass(frozen=True)
class Ranks:
    """What a scorer did on a split.

    Attributes:
      target: rank of each user's target, from 1, [users]; UNRANKED where no list has it.
      item: id of each user's target, [users].
      history: events that each user had before, [users].
      candidates: items that were ranked for each user, [users].
      lists: ids of each user's best items, [users, k]; PADDING where too few were left.
      nll: negative log-likelihood (nats) of each user's target by the softmax of all items' scores,
        [users]; infinite where the vocabulary lacks it. It means something where scores are logits.
        Not a number where a score of the user is none, or +∞: such items are ranked nowhere.
      seen: whether each user's target was in its history, and may therefore not be recommended.
    """

    target: np.ndarray
    item: np.ndarray
    history: np.ndarray
    candidates: np.ndarray
    lists: np.ndarray
    nll: np.ndarray
    seen: np.ndarray


def rank_split(
    scorer: Scorer,
    dataset: Dataset,
    split: str,
    options: config.Evaluation,
    label: str = "",
    devices: jax.sharding.Mesh | None = None,
    *,
    times: bool = False,
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
      times: whether the scorer takes times too.

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
        dataset, split, history=item.max_length, batch_size=options.batch_size, times=times
    )
    place = examples_placer(devices)
    rank_batch = _ranker(item.size, k, options.exclude_seen, options.score_block_items, devices)
    with progress.shown(
        label or split,
        unit="user",
        total=dataset.examples(split),
        stays=bool(label),
        silent=devices is not None and jax.process_index() != 0,
    ) as bar:
        for batch in batches:
            valid, history = batch["valid"], place(batch["history"])
            read = {"item": history} | ({"time": place(batch["time"])} if times else {})
            ranked = jax.device_get(rank_batch(scorer(read), history, place(batch["target"])))
            seen = _distinct(batch["history"]) if options.exclude_seen else np.zeros(len(valid))
            known = {
                "item": batch["target"],
                "history": (batch["history"] != PADDING).sum(1),
                "candidates": (item.size - FIRST_VALUE - seen).astype(np.int64),
                "seen": options.exclude_seen & _holds(batch["history"], batch["target"]),
            }
            parts.append({name: each[valid] for name, each in (known | ranked).items()})
            bar.update(int(valid.sum()))
    return Ranks(**concatenate(parts))


def _holds(history: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Which rows have their target, [rows]; the ids that are no items are none."""
    return ((history == target[:, None]) & (history >= FIRST_VALUE)).any(1)


def _distinct(history: np.ndarray) -> np.ndarray:
    """The number of different items of each row."""
    ordered = np.sort(history, axis=1)
    new = np.diff(ordered, axis=1, prepend=PADDING) > 0
    return (new & (ordered >= FIRST_VALUE)).sum(1)


@functools.lru_cache(maxsize=16)
def _ranker(
    catalogue: int,
    k: int,
    exclude_seen: bool,
    block: int | None,
    devices: jax.sharding.Mesh | None,
) -> Callable[..., Any]:
    """(scores or factors, history, target) → arrays of Ranks by name, the same in all processes."""

    def rank_batch(scores, history, target):
        seen = history if exclude_seen else None
        if isinstance(scores, top_k.Factors):
            size = block or scores.table.shape[0]
            rank = top_k.blocked_rank(scores, target, size, seen, catalogue)
            best, ids = top_k.blocked_top_k(scores, k, size, seen, catalogue)
            nll = top_k.blocked_negative_log_likelihood(scores, target, size, catalogue)
        else:
            allowed = top_k.exclude(scores, seen, catalogue)
            rank, (best, ids) = top_k.rank(allowed, target), top_k.top_k(allowed, k)
            nll = top_k.negative_log_likelihood(scores, target, catalogue)
        return {
            "target": rank,
            "lists": jnp.where(best == top_k.EXCLUDED, PADDING, ids),
            "nll": nll,
        }

    return jax.jit(rank_batch, out_shardings=mesh.replicated(devices) if devices else None)


def summarize(
    ranks: Ranks,
    options: config.Evaluation,
    train_counts: np.ndarray,
    *,
    likelihood: bool = False,
) -> dict[str, dict[str, float]]:
    """{metric@k: {"value": …}}, with the 95 % interval "low", "high" of each mean over users.

    With `likelihood`, which is for scores that are logits, also "nll" (nats), its mean over the
    users whose target the vocabulary has. Where some scores are not finite, "invalid_scores" is the
    share of the users who have such. A value that nothing is left for is not a number.
    """
    catalogue = len(train_counts) - FIRST_VALUE
    table: dict[str, dict[str, float]] = {}

    def mean(values: np.ndarray) -> dict[str, float]:
        low, high = ranking.bootstrap_interval(values, options.bootstrap, options.seed)
        return {"value": float(values.mean()), "low": low, "high": high}

    for k in options.cutoffs:
        for name, metric in ranking.PER_USER.items():
            table[f"{name}@{k}"] = mean(metric(ranks.target, k))
        table[f"coverage@{k}"] = {"value": ranking.coverage(ranks.lists, k, catalogue)}
        table[f"popularity_bias@{k}"] = {
            "value": ranking.popularity_bias(ranks.lists, k, train_counts)
        }
        table[f"novelty@{k}"] = {"value": ranking.novelty(ranks.lists, k, train_counts)}
    if options.sampled_negatives:
        sampled = ranking.sampled_ranks(
            ranks.target, ranks.candidates, options.sampled_negatives, options.seed
        )
        for k in options.cutoffs:
            for name, metric in ranking.PER_USER.items():
                table[f"sampled_{name}@{k}"] = mean(metric(sampled, k))
    known = ranks.nll[(ranks.item >= FIRST_VALUE) & (ranks.item < len(train_counts))]
    if likelihood and len(known):
        table["nll"] = mean(known)
    invalid = np.isnan(ranks.nll)
    if invalid.any():
        table["invalid_scores"] = {"value": float(invalid.mean()), "users": int(invalid.sum())}
    return table
