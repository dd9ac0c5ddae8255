"""Requests and the answers that JAX gives to them, stored beside the model.

`python -m export.verify DIRECTORY` holds a SavedModel against this file, before it is published and
at any time later. What the graph does to a history is computed here once more, in plain Python, so
that the two can disagree.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from export import recommend
from export.contract import Contract
from export.error import ExportError
from export.layout import GOLDEN
from export.signatures import SIGNATURES
from framework import config
from framework.schema import FIRST_VALUE, OUT_OF_VOCABULARY, PADDING, Schema, Vocabulary

SPARE = 20
"""Answers stored beyond the k that are returned: candidates for a tie at the end of the list."""

_LONGEST_ORDINARY = 50
_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Case:
    """A request, as ids: PADDING is written "" in the one signature and 0 in the other."""

    name: str
    histories: tuple[tuple[int, ...], ...]


def cases(contract: Contract, size: int) -> Iterator[Case]:
    """The edges one by one, then ordinary requests of every batch size worth trying.

    Ids from `size`, the rows of the vocabulary, stand for unknown values.
    """
    draw = np.random.default_rng(0)
    unknown, length = size, contract.max_history

    def items_drawn(count: int) -> tuple[int, ...]:
        return tuple(int(item) for item in draw.integers(FIRST_VALUE, size, count))

    one, few = items_drawn(1), items_drawn(3)
    long = items_drawn(length + 7)
    yield Case("no history", ((),))
    yield Case("a history of padding only", ((PADDING, PADDING),))
    yield Case("a history of unknown values only", ((unknown, unknown + 1),))
    yield Case("one item", (one,))
    yield Case("one item, three times", (one * 3,))
    yield Case("padding first", ((PADDING, PADDING, *few),))
    yield Case("padding in the middle", ((*one, PADDING, *few, PADDING, PADDING, *one),))
    yield Case("unknown values between known ones", ((*one, unknown, *few, unknown + 1, *one),))
    yield Case(f"a history of exactly {length}", (long[:length],))
    yield Case(f"a history longer than {length}", (long,))
    holed = (*long[:5], PADDING, unknown, *long[5:], PADDING, *few)
    yield Case(f"a history longer than {length}, with padding and unknown values", (holed,))
    if size - FIRST_VALUE <= length:
        yield Case("every item seen", (tuple(range(FIRST_VALUE, size)),))
        yield Case("every item but two seen", (tuple(range(FIRST_VALUE + 2, size)),))
    buckets, largest = contract.batch_buckets, contract.batch_buckets[-1]
    between = {(low + high) // 2 for low, high in zip((0, *buckets), buckets, strict=False)}
    for rows in sorted({*buckets, *between, largest + 1, 2 * largest + 1} - {0}):
        lengths = draw.integers(0, min(length, _LONGEST_ORDINARY) + 1, rows)
        yield Case(f"a batch of {rows}", tuple(items_drawn(int(count)) for count in lengths))
    yield Case("a batch of 3 without columns", ((), (), ()))


def prepare(history: Sequence[str], vocabulary: Vocabulary, length: int) -> list[int]:
    """What the graph must make of a row of values: its ids, before they are padded to `length`."""
    trained = vocabulary.counts[OUT_OF_VOCABULARY] > 0
    ids = [vocabulary.id(value) for value in history if value]
    return [item for item in ids if trained or item != OUT_OF_VOCABULARY][-length:]


def write(
    directory: epath.PathLike,
    model: config.Model,
    schema: Schema,
    vocabulary: Vocabulary,
    parameters: dict[str, np.ndarray],
    contract: Contract,
) -> None:
    """Computes the answers (on the CPU, as TensorFlow will) and writes the file GOLDEN.

    Raises ExportError where an answer is not finite.
    """
    length, items = contract.max_history, len(vocabulary) - FIRST_VALUE
    requests = list(cases(contract, len(vocabulary)))
    histories = sorted({history for case in requests for history in case.histories})
    written = {history: [_value(item, vocabulary) for item in history] for history in histories}
    prepared = [prepare(written[history], vocabulary, length) for history in histories]
    k, seen = min(contract.top_k + SPARE, items), contract.exclude_seen
    function = recommend.recommend(model, schema, k, exclude_seen=seen)
    scores, ids = _answers(function, parameters, prepared, length)
    if not np.isfinite(scores).all():
        raise ExportError(
            "the parameters give scores that are not finite; export a checkpoint from before"
            " training diverged"
        )
    row = {history: index for index, history in enumerate(histories)}
    content = {
        "target": contract.target,
        "k": contract.top_k,
        "signatures": SIGNATURES,
        "rows": [
            {
                "ids": history,
                "values": written[history],
                "answer": {
                    "ids": ids[index].tolist(),
                    "values": [vocabulary.values[item] for item in ids[index]],
                    "scores": scores[index].tolist(),
                },
            }
            for index, history in enumerate(histories)
        ],
        "cases": [
            {"name": case.name, "rows": [row[history] for history in case.histories]}
            for case in requests
        ],
    }
    path = epath.Path(directory) / GOLDEN
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")))


def _value(item: int, vocabulary: Vocabulary) -> str:
    if item < len(vocabulary):
        return vocabulary.values[item]
    value = f"unknown {item}"
    while value in vocabulary.ids:
        value += "?"
    return value


def _answers(
    function: Callable[..., Any],
    parameters: dict[str, np.ndarray],
    prepared: list[list[int]],
    length: int,
) -> tuple[np.ndarray, np.ndarray]:
    padded = np.full((-(-len(prepared) // _BATCH) * _BATCH, length), PADDING, np.int32)
    for row, ids in zip(padded, prepared, strict=False):
        row[: len(ids)] = ids
    scores, ids = (part[: len(prepared)] for part in on_cpu(function, parameters, [padded]))
    return scores, ids


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
