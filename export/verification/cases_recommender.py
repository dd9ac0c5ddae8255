"""Requests and the answers that JAX gives to them, stored beside the model.

`python -m podway.export.verification.verify DIRECTORY` holds a SavedModel against this file, before
it is published and at any time later. What the graph does to a history is computed here once more,
in plain Python, so that the two can disagree (export/verification/reference.py).
"""

import dataclasses
import json
from collections.abc import Iterator

import numpy as np
from etils import epath

from podway.export.contract import Contract
from podway.export.graph import recommender as signatures
from podway.export.layout import GOLDEN
from podway.export.lowering import recommender as recommend
from podway.export.verification import cases_filtered as golden_filtered
from podway.export.verification import reference
from podway.export.verification import times as golden_times
from podway.framework import config
from podway.framework.schema.schema import FIRST_VALUE, PADDING, Schema, Vocabulary

SPARE = 20
"""Answers stored beyond the k that are returned: candidates for a tie at the end of the list."""

_LONGEST_ORDINARY = 50


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
    written = {
        history: [reference.value(item, vocabulary) for item in history] for history in histories
    }
    values = [written[history] for history in histories]
    times = golden_times.drawn(values) if contract.times else None
    columns = reference.columns(values, times, vocabulary, length)
    k, seen = min(contract.top_k + SPARE, items), contract.exclude_seen
    function = recommend.recommend(model, schema, k, exclude_seen=seen)
    found = reference.answers(function, parameters, columns, vocabulary)
    row = {history: index for index, history in enumerate(histories)}
    rows = [
        {"ids": history, "values": written[history], "answer": answer}
        for history, answer in zip(histories, found, strict=True)
    ]
    content = {
        "target": contract.target,
        "k": contract.top_k,
        "signatures": signatures.names(contract),
        "rows": golden_times.beside(rows, times),
        "cases": [
            {"name": case.name, "rows": [row[history] for history in case.histories]}
            for case in requests
        ],
    }
    if contract.candidate_filter:
        content["filtered"] = golden_filtered.requests(function, parameters, vocabulary, contract)
    path = epath.Path(directory) / GOLDEN
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")))
