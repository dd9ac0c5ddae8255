"""Does a model of rows answer as JAX did? Called by export/verification/verify.py.

Every case goes through every signature that the model has: raw columns, tf.Examples, and those of
Classify and Regress, whose answers are made of the same golden ones.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath

from podway.export.error import ExportError
from podway.export.graph.classify_regress import EXAMPLES, INPUTS, NAMES, SIGNATURE, methods
from podway.export.verification import requests as example_requests
from podway.export.verification import sessions, warmup
from podway.export.verification.sessions import Signature

Columns = Mapping[str, np.ndarray]
Rows = Callable[[Sequence[int]], Columns]
"""Numbers of golden rows → what a signature takes, or what it must answer."""


def verify(directory: epath.Path, golden: dict[str, Any], tolerance: float) -> str:
    """Holds the answers against those of the golden file; returns what was checked, in one line.

    Raises ExportError that names the first answer that differs, and by how much.
    """
    signatures = sessions.load(directory)
    _check_methods(signatures, golden)
    names = sorted(signatures, key=lambda name: (name != SIGNATURE, name != EXAMPLES, name))
    checks = {name: _check(golden, name) for name in names}
    worst = 0.0
    for number, case in enumerate(golden["cases"], 1):
        for name, (requests, answers) in checks.items():
            where = f"case {case['name']!r}"
            where += f", signature {name}" if name != SIGNATURE else ""
            found = sessions.run(signatures[name], requests(case["rows"]), where)
            for label, wanted in answers(case["rows"]).items():
                worst = max(worst, _compare(label, found[label], wanted, tolerance, where))
        print(f"{number}/{len(golden['cases'])} {case['name']}", flush=True)
    requests = warmup.read(directory)
    for number, request in enumerate(requests):
        columns = {name: tf.make_ndarray(each) for name, each in request.inputs.items()}
        name = request.model_spec.signature_name
        sessions.run(signatures[name], columns, f"warm-up request {number}")
    return (
        f"verified: {len(golden['cases'])} cases by {len(signatures)} signatures and"
        f" {len(requests)} warm-up requests; largest difference of an answer, by 1 + its size,"
        f" {worst:.1e}"
    )


def _check_methods(signatures: Mapping[str, Signature], golden: dict[str, Any]) -> None:
    """Raises ExportError unless the signatures are there, each for the API it should answer."""
    if "labels" not in golden:
        return  # an export from before there were these signatures
    expected = {SIGNATURE: "predict", EXAMPLES: "predict"}
    expected |= {name: method for name, (method, _) in methods(golden["labels"]).items()}
    found = {name: signature.method for name, signature in signatures.items()}
    wanted = {name: NAMES.get(method, sessions.PREDICT) for name, method in expected.items()}
    if found != wanted:
        raise ExportError(f"the signatures and their methods are {found}, not {wanted}")


def _check(golden: dict[str, Any], name: str) -> tuple[Rows, Rows]:
    """What to ask of a signature for golden rows, and what it must answer."""
    kinds, every = golden["inputs"], golden["raw"]
    answers = {label: np.array(values) for label, values in golden["answers"].items()}
    if name == SIGNATURE:
        raw = {key: example_requests.tensor(every[key], kind) for key, kind in kinds.items()}
        return lambda rows: _take(raw, rows), lambda rows: _take(answers, rows)
    separators = golden["separators"]

    def examples(rows: Sequence[int]) -> Columns:
        key = EXAMPLES if name == EXAMPLES else INPUTS
        return {key: example_requests.rows(every, kinds, separators, rows)}

    if name == EXAMPLES:
        return examples, lambda rows: _take(answers, rows)
    method, label = methods(golden["labels"])[name]
    if method == "regress":
        return examples, lambda rows: _take({"outputs": answers[label]}, rows)
    scores = answers[label]
    if golden["labels"][label] == "binary":
        scores = np.stack([1 - scores, scores], axis=1)
    classes = np.array([[str(place).encode() for place in range(scores.shape[1])]], object)
    every_class = {"scores": scores, "classes": classes.repeat(len(scores), axis=0)}
    return examples, lambda rows: _take(every_class, rows)


def _take(columns: Columns, rows: Sequence[int]) -> Columns:
    chosen = np.array(rows, np.int64)
    return {name: column[chosen] for name, column in columns.items()}


def _compare(
    label: str, found: np.ndarray, wanted: np.ndarray, tolerance: float, where: str
) -> float:
    if found.shape != wanted.shape:
        raise ExportError(f"{where}: {label} has the shape {found.shape}, not {wanted.shape}")
    if wanted.dtype == object:
        if found.tolist() != wanted.tolist():
            raise ExportError(f"{where}: {label} are {found.tolist()}, not {wanted.tolist()}")
        return 0.0
    apart = np.abs(found - wanted)
    wrong = np.argwhere(~(apart <= tolerance * (1 + np.abs(wanted))))
    if len(wrong):
        at = tuple(wrong[0])
        raise ExportError(
            f"{where}, row {at[0]}: {label} is {found[at]:.7g}, JAX says {wanted[at]:.7g}"
            f" (they differ by {apart[at]:.2g})"
        )
    return float((apart / (1 + np.abs(wanted))).max(initial=0.0))
