"""What JAX answers to a request, and what the graph must make of one: for the golden files.

What the graph does to a history is computed here once more, in plain Python.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from podway.export.error import ExportError
from podway.framework.formats import w8a8
from podway.framework.schema.schema import OUT_OF_VOCABULARY, PADDING, Vocabulary

_BATCH = 64


def batch_sizes(buckets: tuple[int, ...]) -> list[int]:
    """Every batch size worth trying: those that are compiled, between them, and beyond the last."""
    largest = buckets[-1]
    between = {(low + high) // 2 for low, high in zip((0, *buckets), buckets, strict=False)}
    return sorted({*buckets, *between, largest + 1, 2 * largest + 1} - {0})


def prepare(history: Sequence[str], vocabulary: Vocabulary, length: int) -> list[int]:
    """What the graph must make of a row of values: its ids, before they are padded to `length`."""
    return [vocabulary.id(history[index]) for index in read_indices(history, vocabulary, length)]


def read_indices(history: Sequence[str], vocabulary: Vocabulary, length: int) -> list[int]:
    """Where in a row the values stand that are read."""
    trained = vocabulary.counts[OUT_OF_VOCABULARY] > 0
    read = [
        index
        for index, value in enumerate(history)
        if value and (trained or value in vocabulary.ids)
    ]
    return read[-length:]


def columns(
    histories: Sequence[Sequence[str]],
    times: Sequence[Sequence[int]] | None,
    vocabulary: Vocabulary,
    length: int,
) -> list[np.ndarray]:
    """What the lowered function must be given of rows of values, and of their times if it reads
    them: i32 [rows, length]."""
    found = [pad([prepare(history, vocabulary, length) for history in histories], length)]
    if times is not None:
        since = []
        for history, row in zip(histories, times, strict=True):
            read = [row[index] for index in read_indices(history, vocabulary, length)]
            since.append([min(max(time - read[0], 0), 2**31 - 1) for time in read])
        found.append(pad(since, length))
    return found


def pad(rows: Sequence[Sequence[int]], length: int) -> np.ndarray:
    """i32 [rows, length], with PADDING at the end."""
    array = np.full((len(rows), length), PADDING, np.int32)
    for row, values in zip(array, rows, strict=True):
        row[: len(values)] = values
    return array


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
    columns: Sequence[np.ndarray],
    vocabulary: Vocabulary,
) -> list[dict[str, list]]:
    """Per row the "ids", "values" and "scores" that `function(parameters, *columns)` gives.

    Raises ExportError where a score is not finite.
    """
    rows = len(columns[0])
    whole = [
        np.concatenate([column, np.zeros((-rows % _BATCH, *column.shape[1:]), column.dtype)])
        for column in columns
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


def rounding(
    compute: Callable[[dict[str, np.ndarray]], Sequence[np.ndarray]],
    parameters: dict[str, np.ndarray],
    found: Sequence[np.ndarray],
) -> float:
    """How far the rounding of layers' inputs to integers moves an answer at most; 0 where there is
    none.

    Two programs of a model differ in last bits. Where a number that is rounded lies between two
    integers, they take different ones, and what follows differs by a step. So an export of such a
    model cannot be as near to JAX as one of floats; yet it must be as near as JAX's answers are to
    those without this rounding.

    Args:
      compute: parameters → answers.
      parameters: by path.
      found: the answers to these.
    """
    alone = w8a8.weights_alone(parameters)
    if alone is None:
        return 0.0
    pairs = zip(found, compute(alone), strict=True)
    return max(float(np.abs(own - other).max(initial=0.0)) for own, other in pairs)
