"""Requests to a model of labels and the answers that JAX gives to them: its golden file."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from podway.export.cases import raw_values, reference
from podway.export.contract import Kind
from podway.export.error import ExportError
from podway.export.lowering.labels import Reading, look_up
from podway.framework import config
from podway.framework.schema.fitted import FittedTransform

ROWS = 64
SOMETIMES = 0.1
"""Share of an ordinary row's values that are missing, and of those that are unknown."""


def golden(
    function: Callable[..., Any],
    parameters: dict[str, np.ndarray],
    reading: Reading,
    kinds: dict[str, str],
    inputs: dict[str, str],
    separators: dict[str, str],
    labels: dict[str, Kind],
    options: config.Export,
) -> dict[str, Any]:
    """What the golden file holds, its answers computed on the CPU, as TensorFlow will.

    Args:
      function: (parameters, *columns) → answers, in the order of `labels`.
      parameters: by path.
      reading: what the function reads.
      kinds: the graph's inputs, and their dtypes.
      inputs: feature → the name of its input.
      separators: of the inputs that are lists.
      labels: of the answers, and their kinds.
      options: the target, and the batch sizes that are compiled.

    Raises ExportError where an answer is not finite.
    """
    raw = _requests(reading, inputs)
    values = {
        fitted.transform.name: _values(fitted, reading, raw[inputs[fitted.transform.name]])
        for fitted in reading.fitted
    }
    columns = look_up(reading, values)

    def compute(parameters: dict[str, np.ndarray]) -> list[np.ndarray]:
        return reference.on_cpu(function, parameters, list(columns.values()))

    answers = compute(parameters)
    _check_finite(answers, labels, raw)
    return {
        "kind": "rows",
        "target": options.target,
        "rounding": reference.rounding(compute, parameters, answers),
        "inputs": kinds,
        "separators": separators,
        "labels": labels,
        "raw": raw,
        "answers": {label: answer.tolist() for label, answer in zip(labels, answers, strict=True)},
        "cases": [{"name": name, "rows": rows} for name, rows in cases(options.batch_buckets)],
    }


def cases(buckets: tuple[int, ...]) -> list[tuple[str, list[int]]]:
    """The edges, then every batch size worth trying: names, and numbers of rows."""
    sizes = reference.batch_sizes(buckets)
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
    for fitted in reading.fitted:
        if (name := inputs[fitted.transform.name]) in found:
            continue
        vocabulary = reading.vocabularies.get(fitted.vocabulary or "")
        missing, unknown = generator.random((2, ROWS)) < SOMETIMES
        missing[:2], unknown[:2] = (True, False), (False, True)
        found[name] = [
            raw_values.missing(fitted.transform)
            if absent
            else raw_values.raw(
                fitted,
                vocabulary,
                generator,
                unknown=bool(strange),
                within=reading.ranges.get(fitted.transform.name),
            )
            for absent, strange in zip(missing, unknown, strict=True)
        ]
    return found


def _check_finite(
    answers: list[np.ndarray], labels: dict[str, Kind], raw: dict[str, list[Any]]
) -> None:
    for label, answer in zip(labels, answers, strict=True):
        wrong = np.flatnonzero(~np.isfinite(answer.reshape(len(answer), -1)).all(1))
        if len(wrong):
            row = {name: values[wrong[0]] for name, values in raw.items()}
            raise ExportError(
                f"{len(wrong)} of {len(answer)} probes have no finite {label!r}, for example"
                f" {json.dumps(row, ensure_ascii=False)}: the model overflows on values that its"
                " features may have; scale its numbers, or train with a lower learning rate"
            )


def _values(fitted: FittedTransform, reading: Reading, raw: list[Any]) -> np.ndarray:
    vocabulary = reading.vocabularies.get(fitted.vocabulary or "")
    length = reading.lengths[fitted.transform.name]
    return np.stack([raw_values.value(fitted, vocabulary, sent, length) for sent in raw])
