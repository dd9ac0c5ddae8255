"""Requests to a recommender and the answers that JAX gives to them: its golden file.

`python -m podway.export.verification DIRECTORY` holds a SavedModel against this file, before it is
published and at any time later. What the graph does to a history is computed here once more, in
plain Python, so that the two can disagree (export/cases/reference.py).
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from podway.export.cases import filtered, reference
from podway.export.cases.times import add_times, draw_times
from podway.export.contract import Contract
from podway.export.graph import recommender as graph
from podway.export.lowering import recommender as lowering
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
    for rows in reference.batch_sizes(contract.batch_buckets):
        lengths = draw.integers(0, min(length, _LONGEST_ORDINARY) + 1, rows)
        yield Case(f"a batch of {rows}", tuple(items_drawn(int(count)) for count in lengths))
    yield Case("a batch of 3 without columns", ((), (), ()))


def golden(
    model: config.Model,
    schema: Schema,
    vocabulary: Vocabulary,
    parameters: dict[str, np.ndarray],
    contract: Contract,
    attributes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """What the golden file holds, its answers computed on the CPU, as TensorFlow will.

    `attributes` are those that are answered, by name, row = id.

    Raises ExportError where an answer is not finite.
    """
    length, items = contract.max_history, len(vocabulary) - FIRST_VALUE
    requests = list(cases(contract, len(vocabulary)))
    histories = sorted({history for case in requests for history in case.histories})
    written = {
        history: [reference.value(item, vocabulary) for item in history] for history in histories
    }
    values = [written[history] for history in histories]
    times = draw_times(values) if contract.times else None
    columns = reference.columns(values, times, vocabulary, length)
    k, seen = min(contract.top_k + SPARE, items), contract.exclude_seen
    function = lowering.recommend(model, schema, k, exclude_seen=seen)

    def scores(parameters: dict[str, np.ndarray]) -> list[np.ndarray]:
        rows = reference.answers(function, parameters, columns, vocabulary)
        return [np.array([each["scores"] for each in rows])]

    found = reference.answers(function, parameters, columns, vocabulary)
    own = [np.array([each["scores"] for each in found])]
    row = {history: index for index, history in enumerate(histories)}
    rows = [
        {"ids": history, "values": written[history], "answer": answer}
        for history, answer in zip(histories, found, strict=True)
    ]
    content = {
        "target": contract.target,
        "k": contract.top_k,
        "rounding": reference.rounding(scores, parameters, own),
        "signatures": graph.names(contract),
        "rows": add_times(rows, times),
        "cases": [
            {"name": case.name, "rows": [row[history] for history in case.histories]}
            for case in requests
        ],
    }
    if contract.candidate_filter:
        content["filtered"] = filtered.requests(function, parameters, vocabulary, contract)
    answered = {item for row in rows for item in row["answer"]["ids"]}
    answered |= {item for row in content.get("filtered", ()) for item in row["answer"]["ids"]}
    content["attributes"] = {
        name: {vocabulary.values[item]: texts[item] for item in sorted(answered)}
        for name, texts in attributes.items()
    }
    return content
