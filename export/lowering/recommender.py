"""The function that is served: histories → the best items, mostly of those that are not in them.

The ranking is the evaluation's own (framework/metrics/top_k.py), so what is measured is what is
served.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from podway.export.error import ExportError
from podway.framework import config, task
from podway.framework.formats import matrix
from podway.framework.metrics import top_k
from podway.framework.schema.schema import PADDING, Schema

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
    left out of the answer where `exclude_seen` says so; those for which a last argument, bool
    [batch, ids], is false always are. Where fewer than k items are left, the score is LOWEST and
    the id PADDING. `k` may not exceed the number of items. For a model that reads times, these
    follow the history.
    """
    recommender = task.of_kind(model, task.Recommender)
    infer, catalogue = task.inference(recommender, schema, recommender.scores), schema["item"].size
    timed = recommender.reads_times()

    def function(parameters: task.Parameters, history: Any, *others: Any) -> Any:
        def unseen(history: Array, *times: Array) -> Float[Array, "batch rows"]:
            batch = {"item": history} | ({"time": times[0]} if timed else {})
            scores = infer(parameters, batch, task.SERVING)
            return top_k.exclude(scores, history if exclude_seen else None, catalogue)

        times, allowed = others[:timed], others[timed:]
        scores = by_length(unseen, history, *times)
        for mask in allowed:
            beyond = scores.shape[1] - catalogue
            scores = jnp.where(jnp.pad(mask, ((0, 0), (0, beyond))), scores, top_k.EXCLUDED)
        scores, ids = top_k.top_k(scores, k)
        left = scores != top_k.EXCLUDED
        return jnp.where(left, scores, LOWEST), jnp.where(left, ids, PADDING)

    return function


def by_length(
    function: Callable[..., Array],
    history: Int[Array, "batch length"],
    *times: Int[Array, "batch length"],
) -> Float[Array, "batch rows"]:
    """`function(history, *times)` without most of the padding, where all histories are SHORT.

    Padding changes nothing, most histories are, and what a model costs grows with the length of the
    array. Both lengths are compiled, and a batch takes the branch of its longest history.
    """
    if history.shape[1] <= SHORT:
        return function(history, *times)

    def shortened(*columns: Array) -> Array:
        return function(*(column[:, :SHORT] for column in columns))

    short = ~(history[:, SHORT:] != PADDING).any()
    return jax.lax.cond(short, shortened, function, history, *times)


def check_parameters(
    model: config.Model, schema: Schema, parameters: dict[str, np.ndarray]
) -> None:
    """Raises ExportError where the parameters are not those of this model on this dataset."""
    parametric, given = task.of_kind(model, task.ParametricModel), matrix.collect(parameters)
    key = jax.random.key(0)
    expected = jax.eval_shape(lambda key: task.initialize(parametric, schema, key), key)
    for path in sorted({*expected, *given}):
        wanted, found = (
            f"{table[path].dtype}{list(table[path].shape)}" if path in table else "missing"
            for table in (expected, given)
        )
        if wanted != found:
            raise ExportError(
                f"the parameter {path} is {found} in the checkpoint and {wanted} in the model"
            )
