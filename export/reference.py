"""What JAX answers to a request, and what the graph must make of one: for the golden files.

What the graph does to a history is computed here once more, in plain Python.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from export.error import ExportError
from framework.schema import OUT_OF_VOCABULARY, PADDING, Vocabulary

_BATCH = 64


def prepare(history: Sequence[str], vocabulary: Vocabulary, length: int) -> list[int]:
    """What the graph must make of a row of values: its ids, before they are padded to `length`."""
    trained = vocabulary.counts[OUT_OF_VOCABULARY] > 0
    ids = [vocabulary.id(value) for value in history if value]
    return [item for item in ids if trained or item != OUT_OF_VOCABULARY][-length:]


def value(item: int, vocabulary: Vocabulary) -> str:
    """What a client sends for an id; beyond the vocabulary, a value that is not in it."""
    if item < len(vocabulary):
        return vocabulary.values[item]
    unknown = f"unknown {item}"
    while unknown in vocabulary.ids:
        unknown += "?"
    return unknown


def answers(
    function: Callable[..., Any],
    parameters: dict[str, np.ndarray],
    prepared: list[list[int]],
    length: int,
    vocabulary: Vocabulary,
    *columns: np.ndarray,
) -> list[dict[str, list]]:
    """Per row the "ids", "values" and "scores" that `function(parameters, ids, *columns)` gives.

    Raises ExportError where a score is not finite.
    """
    rows = len(prepared)
    padded = np.full((rows, length), PADDING, np.int32)
    for row, ids in zip(padded, prepared, strict=True):
        row[: len(ids)] = ids
    whole = [
        np.concatenate([each, np.zeros((-rows % _BATCH, *each.shape[1:]), each.dtype)])
        for each in (padded, *columns)
    ]
    scores, ids = (part[:rows] for part in on_cpu(function, parameters, whole))
    if not np.isfinite(scores).all():
        raise ExportError(
            "the parameters give scores that are not finite; export a checkpoint from before"
            " training diverged"
        )
    return [
        {
            "ids": items.tolist(),
            "values": [vocabulary.values[item] for item in items],
            "scores": own.tolist(),
        }
        for items, own in zip(ids, scores, strict=True)
    ]


def on_cpu(
    function: Callable[..., Any], parameters: dict[str, np.ndarray], columns: list[np.ndarray]
) -> list[np.ndarray]:
    """The results of `function(parameters, *columns)`, in batches of _BATCH rows.

    Raises ExportError where JAX has no CPU.
    """
    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise ExportError(
            "JAX has no CPU device to compute the reference answers on; let JAX_PLATFORMS end in"
            " ',cpu'"
        ) from error
    answer, parameters = jax.jit(function), jax.device_put(parameters, cpu)
    with jax.default_device(cpu):
        results = [
            jax.device_get(answer(parameters, *(x[start : start + _BATCH] for x in columns)))
            for start in range(0, len(columns[0]), _BATCH)
        ]
    return [np.concatenate(part) for part in zip(*results, strict=True)]
