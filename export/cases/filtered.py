"""Golden requests of the signature `filtered`: lists of items to choose from and to leave out.

What the lists allow is computed here once more, with Python's sets.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from podway.export.cases import reference
from podway.export.cases.times import add_times, draw_times
from podway.export.contract import Contract
from podway.framework.schema.schema import FIRST_VALUE, PADDING, Vocabulary

Row = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""History, allow and deny, as ids."""


def cases(size: int) -> list[tuple[str, Row]]:
    """A row for each edge. Ids from `size`, the vocabulary's rows, stand for unknown values."""
    draw, unknown = np.random.default_rng(1), size

    def drawn(count: int) -> tuple[int, ...]:
        return tuple(int(item) for item in draw.integers(FIRST_VALUE, size, count))

    history, few, many = drawn(5), drawn(4), drawn(min(40, size))
    return [
        ("no lists", (history, (), ())),
        ("padding in both lists", (history, (PADDING, PADDING), (PADDING,))),
        ("a few allowed", (history, few, ())),
        (
            "a few allowed, with padding and an unknown value",
            (history, (PADDING, unknown, *few), ()),
        ),
        ("only an unknown value allowed", (history, (unknown,), ())),
        ("only seen items allowed", (history, history, ())),
        ("many denied", (history, (), many)),
        ("an unknown value denied", (history, (), (unknown,))),
        ("half of the allowed denied", (history, many, many[::2])),
        ("all of the allowed denied", (history, few, few)),
        ("no history, a few allowed", ((), few, ())),
    ]


def requests(
    function: Callable[..., Any],
    parameters: dict[str, np.ndarray],
    vocabulary: Vocabulary,
    contract: Contract,
) -> list[dict[str, Any]]:
    """The rows with JAX's answers, as the golden file holds them."""
    size = len(vocabulary)
    named = cases(size)
    allowed = np.zeros((len(named), size), bool)
    for row, (_, (_, allow, deny)) in zip(allowed, named, strict=True):
        chosen = set(range(size)) if not any(allow) else {*allow}
        row[sorted(item for item in chosen - {*deny} if item < size)] = True

    def words(ids: tuple[int, ...]) -> list[str]:
        return [reference.value(item, vocabulary) for item in ids]

    histories = [words(history) for _, (history, _, _) in named]
    times = draw_times(histories) if contract.times else None
    columns = reference.columns(histories, times, vocabulary, contract.max_history)
    answers = reference.answers(function, parameters, [*columns, allowed], vocabulary)
    found: list[dict[str, Any]] = [
        {"name": name, "history": row, "allow": words(allow), "deny": words(deny), "answer": answer}
        for (name, (_, allow, deny)), row, answer in zip(named, histories, answers, strict=True)
    ]
    return add_times(found, times)
