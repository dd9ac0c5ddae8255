"""The function that is served: histories → the best items, mostly of those that are not in them.

The ranking is the evaluation's own (framework/ranking.py), so what is measured is what is served.
"""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from export.error import ExportError
from framework import config, ranking
from framework import task as tasks
from framework.schema import PADDING, Schema

LOWEST = float(np.finfo(np.float32).min)
"""Score of a place in the list that no item is left for. JSON has no −inf; this sorts last too."""

SHORT = 64
"""Histories no longer than this are computed in arrays as short, whatever the longest may be."""

Recommend = Callable[..., tuple[Float[Array, "batch k"], Int[Array, "batch k"]]]


def recommend(
    model: config.Model, schema: Schema, k: int, *, exclude_seen: bool = True
) -> Recommend:
    """The function (parameters, history) → (scores f32, ids i32), best first; pure, not yet jitted.

    History holds ids, [batch, length], oldest first, padded with PADDING at the end. Its items are
    left out of the answer where `exclude_seen` says so; those for which a third argument, bool
    [batch, ids], is false always are. Where fewer than k items are left, the score is LOWEST and
    the id PADDING. `k` may not exceed the number of items.
    """
    task = cast(tasks.Recommender, model)
    graph, catalogue = tasks.structure(task, schema), schema["item"].size

    def function(parameters: tasks.Parameters, history: Any, allowed: Any = None) -> Any:
        def unseen(history: Array) -> Float[Array, "batch rows"]:
            scores = task.scores(tasks.merge(graph, parameters), history)
            return ranking.exclude(scores, history if exclude_seen else None, catalogue)

        scores = by_length(unseen, history)
        if allowed is not None:
            beyond = scores.shape[1] - catalogue
            allowed = jnp.pad(allowed, ((0, 0), (0, beyond)))
            scores = jnp.where(allowed, scores, ranking.EXCLUDED)
        scores, ids = ranking.top_k(scores, k)
        left = scores != ranking.EXCLUDED
        return jnp.where(left, scores, LOWEST), jnp.where(left, ids, PADDING)

    return function


def by_length(
    function: Callable[[Array], Array], history: Int[Array, "batch length"]
) -> Float[Array, "batch rows"]:
    """`function(history)`, which padding does not change, without most of it if all are SHORT.

    Most histories are, and what a model costs grows with the length of the array. Both lengths are
    compiled, and a batch takes the branch of its longest history.
    """
    if history.shape[1] <= SHORT:
        return function(history)
    short = ~(history[:, SHORT:] != PADDING).any()
    return jax.lax.cond(short, lambda rows: function(rows[:, :SHORT]), function, history)


def check_parameters(
    model: config.Model, schema: Schema, parameters: dict[str, np.ndarray]
) -> None:
    """Raises ExportError where the parameters are not those of this model on this dataset."""
    task = cast(tasks.Task, model)
    key = jax.random.key(0)
    expected = jax.eval_shape(lambda key: tasks.initialize(task, schema, key), key)
    for path in sorted({*expected, *parameters}):
        wanted, found = (
            f"{table[path].dtype}{list(table[path].shape)}" if path in table else "missing"
            for table in (expected, parameters)
        )
        if wanted != found:
            raise ExportError(
                f"the parameter {path} is {found} in the checkpoint and {wanted} in the model"
            )
