"""Does a model of rows answer as JAX did? Called by export/verify.py."""

from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath
from tensorflow.core.protobuf import config_pb2

from export import warmup
from export.error import ExportError


def verify(directory: epath.Path, golden: dict[str, Any], tolerance: float) -> str:
    """Holds the answers against those of the golden file; returns what was checked, in one line.

    Raises ExportError that names the first answer that differs, and by how much.
    """
    labels = list(golden["answers"])
    raw = {name: tensor(golden["raw"][name], kind) for name, kind in golden["inputs"].items()}
    answers = {label: np.array(values) for label, values in golden["answers"].items()}
    call, worst = _load(directory, list(raw), labels), 0.0
    for number, case in enumerate(golden["cases"], 1):
        rows, where = np.array(case["rows"], np.int64), f"case {case['name']!r}"
        found = _run(call, [column[rows] for column in raw.values()], where)
        for label, values in zip(labels, found, strict=True):
            worst = max(worst, _compare(label, values, answers[label][rows], tolerance, where))
        print(f"{number}/{len(golden['cases'])} {case['name']}", flush=True)
    requests = warmup.read(directory)
    for number, request in enumerate(requests):
        columns = [tf.make_ndarray(request.inputs[name]) for name in raw]
        _run(call, columns, f"warm-up request {number}")
    return (
        f"verified: {len(golden['cases'])} cases and {len(requests)} warm-up requests;"
        f" largest difference of an answer {worst:.1e}"
    )


def tensor(values: list[Any], kind: str) -> np.ndarray:
    """Raw values as an input takes them; null is a missing number."""
    if kind == "string":
        return np.array([value.encode() for value in values], object)
    return np.array([np.nan if value is None else value for value in values], kind)


def _compare(
    label: str, found: np.ndarray, wanted: np.ndarray, tolerance: float, where: str
) -> float:
    if found.shape != wanted.shape:
        raise ExportError(f"{where}: {label} has the shape {found.shape}, not {wanted.shape}")
    apart = np.abs(found - wanted)
    wrong = np.argwhere(~(apart <= tolerance * (1 + np.abs(wanted))))
    if len(wrong):
        at = tuple(wrong[0])
        raise ExportError(
            f"{where}, row {at[0]}: {label} is {found[at]:.7g}, JAX says {wanted[at]:.7g}"
            f" (they differ by {apart[at]:.2g})"
        )
    return float(apart.max(initial=0.0))


def _load(directory: epath.Path, inputs: list[str], labels: list[str]) -> Any:
    """The signature as a callable of one v1 session: columns in order → answers in order."""
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(directory))
    signature = meta.signature_def["serving_default"]
    return session._make_callable_from_options(
        config_pb2.CallableOptions(
            feed=[signature.inputs[name].name for name in inputs],
            fetch=[signature.outputs[label].name for label in labels],
        )
    )


def _run(call: Any, columns: list[np.ndarray], where: str) -> list[np.ndarray]:
    try:
        return call(*columns)
    except tf.errors.OpError as error:
        raise ExportError(f"{where}: {error.message.splitlines()[0]}") from error
