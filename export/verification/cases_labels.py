"""Requests to a model of rows and the answers that JAX gives to them, stored beside the model.

As export/verification/cases_recommender.py does for recommenders;
export/verification/verify_labels.py reads it.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from etils import epath

from podway.export.contract import Kind
from podway.export.error import ExportError
from podway.export.layout import GOLDEN
from podway.export.lowering.labels import Reading, looked_up
from podway.export.verification import raw_values as golden_raw
from podway.export.verification import reference
from podway.framework import config
from podway.framework.schema.fitted import FittedTransform

ROWS = 64
SOMETIMES = 0.1
"""Share of an ordinary row's values that are missing, and of those that are unknown."""


def write(
    directory: epath.PathLike,
    function: Callable[..., Any],
    parameters: dict[str, np.ndarray],
    reading: Reading,
    kinds: dict[str, str],
    inputs: dict[str, str],
    separators: dict[str, str],
    labels: dict[str, Kind],
    options: config.Export,
) -> dict[str, list[Any]]:
    """Computes the answers (on the CPU, as TensorFlow will) and writes the file GOLDEN.

    Args:
      directory: of the SavedModel.
      function: (parameters, *columns) → answers, in the order of `labels`.
      parameters: by path.
      reading: what the function reads.
      kinds: the graph's inputs, and their dtypes.
      inputs: feature → the name of its input.
      separators: of the inputs that are lists.
      labels: of the answers, and their kinds.
      options: the target, and the batch sizes that are compiled.

    Returns the raw values, by input. Raises ExportError where an answer is not finite.
    """
    raw = _requests(reading, inputs)
    values = {
        each.transform.name: _values(each, reading, raw[inputs[each.transform.name]])
        for each in reading.fitted
    }
    columns = looked_up(reading, values)
    answers = reference.on_cpu(function, parameters, list(columns.values()))
    if not all(np.isfinite(answer).all() for answer in answers):
        raise ExportError(
            "the parameters give answers that are not finite; export a checkpoint from before"
            " training diverged"
        )
    content = {
        "kind": "rows",
        "target": options.target,
        "inputs": kinds,
        "separators": separators,
        "labels": labels,
        "raw": raw,
        "answers": {label: answer.tolist() for label, answer in zip(labels, answers, strict=True)},
        "cases": [{"name": name, "rows": rows} for name, rows in cases(options.batch_buckets)],
    }
    path = epath.Path(directory) / GOLDEN
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")))
    return raw


def cases(buckets: tuple[int, ...]) -> list[tuple[str, list[int]]]:
    """The edges, then every batch size worth trying: names, and numbers of rows."""
    largest = buckets[-1]
    between = {(low + high) // 2 for low, high in zip((0, *buckets), buckets, strict=False)}
    sizes = sorted({*buckets, *between, largest + 1, 2 * largest + 1} - {0})
    return [
        ("everything missing", [0]),
        ("everything unknown", [1]),
        ("no row", []),
        *((f"a row {row}", [row]) for row in range(2, 6)),
        *((f"a batch of {size}", [row % ROWS for row in range(size)]) for size in sizes),
    ]


def _requests(reading: Reading, inputs: dict[str, str]) -> dict[str, list[Any]]:
    """Raw values by input; in the first row all are missing, in the second all unknown."""
    generator = np.random.default_rng(0)
    found: dict[str, list[Any]] = {}
    for each in reading.fitted:
        if (name := inputs[each.transform.name]) in found:
            continue
        vocabulary = reading.vocabularies.get(each.vocabulary or "")
        missing, unknown = generator.random((2, ROWS)) < SOMETIMES
        missing[:2], unknown[:2] = (True, False), (False, True)
        found[name] = [
            golden_raw.missing(each.transform)
            if absent
            else golden_raw.raw(each, vocabulary, generator, unknown=bool(strange))
            for absent, strange in zip(missing, unknown, strict=True)
        ]
    return found


def _values(fitted: FittedTransform, reading: Reading, raw: list[Any]) -> np.ndarray:
    vocabulary = reading.vocabularies.get(fitted.vocabulary or "")
    length = reading.lengths[fitted.transform.name]
    return np.stack([golden_raw.value(fitted, vocabulary, each, length) for each in raw])
