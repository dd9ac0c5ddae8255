"""Does a SavedModel answer as JAX did? To be run in a process of its own, which knows no JAX:

    python -m podway.export.verification.verify models/NAME/VERSION

The model is run as servers run it, through a v1 session. Every case of the golden file goes through
all signatures, then every warm-up request. A score may differ by TOLERANCE, absolutely and
relatively; an item may stand in another's place where their scores are that close.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath
from tensorflow.core.protobuf import saved_model_pb2

from podway.export.error import ExportError
from podway.export.graph.classify_regress import EXAMPLES
from podway.export.layout import GOLDEN
from podway.export.lowering.target import TARGETS
from podway.export.verification import requests as example_requests
from podway.export.verification import sessions, warmup
from podway.export.verification import verify_labels as verify_rows
from podway.framework import progress

TOLERANCE = 1e-5
BEFORE_EXAMPLES = ("serving_default", "ids")
"""Signatures of a recommender whose golden file does not say which it has."""

_PROGRESS = re.compile(r"(\d+)/(\d+) ")
_BYTECODE = b"ML\xefR"
_ROOT = pathlib.Path(__file__).absolute().parents[3]


def in_fresh_process(directory: epath.PathLike) -> str:
    """Runs `verify` in a new process, on the CPU; returns its report. Raises ExportError."""
    # XLA_FLAGS are meant for JAX; one that TensorFlow doesn't know would end the process.
    # -P: the caller's working directory may hold a folder that is called like one of ours.
    environment = os.environ | {
        "XLA_FLAGS": "",
        "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONIOENCODING": "utf-8",
    }
    command = [
        sys.executable,
        "-P",
        "-m",
        "podway.export.verification.verify",
        os.fspath(directory),
    ]
    line = ""
    with (
        tempfile.TemporaryFile("w+", errors="replace") as log,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=log, encoding="utf-8"
        ) as process,
        progress.shown("verify", unit="case") as bar,
    ):
        for line in process.stdout or ():
            if found := _PROGRESS.match(line):
                bar.total = int(found[2])
                bar.update(int(found[1]) - bar.n)
        code = process.wait()
        log.seek(0)
        last = "; ".join(log.read().strip().split("\n")[-3:])
    if code == 0:
        return line.strip()
    if code == 1 and line:
        raise ExportError(line.strip())
    raise ExportError(f"the verification of {directory} ended with exit code {code}: {last}")


def verify(directory: epath.PathLike) -> str:
    """Holds a SavedModel against its golden file; returns what was checked, in one line.

    Prints a line for each case that is done.

    Raises ExportError that names the first case that differs, and by how much.
    """
    directory = epath.Path(directory)
    golden = json.loads((directory / GOLDEN).read_text())
    check_target(directory, golden["target"])
    if golden.get("kind") == "rows":
        return verify_rows.verify(directory, golden, TOLERANCE)
    signatures = sessions.load(directory)
    names = golden.get("signatures", BEFORE_EXAMPLES)
    if missing := sorted({*names} - {*signatures}):
        raise ExportError(f"{directory} has no signature {missing[0]!r}")
    rows, worst = golden["rows"], 0.0
    for number, case in enumerate(golden["cases"], 1):
        chosen = [rows[index] for index in case["rows"]]
        values, ids = ([row[kind] for row in chosen] for kind in ("values", "ids"))
        times, beside = _times(chosen)
        requests = {
            "serving_default": ("values", {"history": _rectangle(values, b""), **beside}),
            "ids": ("ids", {"history": _rectangle(ids, 0), **beside}),
            EXAMPLES: ("values", {EXAMPLES: example_requests.histories(values, times)}),
        }
        for name in filter(names.__contains__, requests):
            where = f"case {case['name']!r}, signature {name}"
            kind, inputs = requests[name]
            found = sessions.run(signatures[name], inputs, where)
            expected = [row["answer"] for row in chosen]
            item, score = found["item"], found["score"]
            worst = max(worst, compare(expected, kind, item, score, golden["k"], where))
        print(f"{number}/{len(golden['cases'])} {case['name']}", flush=True)
    if filtered := golden.get("filtered"):
        inputs = ("history", "allow", "deny")
        lists = {name: _rectangle([row[name] for row in filtered], b"") for name in inputs}
        lists |= _times(filtered)[1]
        where = f"signature filtered, cases {', '.join(repr(row['name']) for row in filtered)}"
        found = sessions.run(signatures["filtered"], lists, where)
        expected, item, score = [row["answer"] for row in filtered], found["item"], found["score"]
        worst = max(worst, compare(expected, "values", item, score, golden["k"], where))
    requests = warmup.read(directory)
    for number, request in enumerate(requests):
        inputs = {name: tf.make_ndarray(each) for name, each in request.inputs.items()}
        name = request.model_spec.signature_name
        sessions.run(signatures[name], inputs, f"warm-up request {number}")
    return (
        f"verified: {len(golden['cases'])} cases and {len(requests)} warm-up requests;"
        f" largest difference of a score {worst:.1e}"
    )


def check_target(directory: epath.Path, target: str) -> None:
    """Raises ExportError where the graph holds something that the target's TensorFlow can't read.

    StableHLO's portable format begins with the version that it was written for.
    """
    limits = TARGETS[target]
    for version, module in _programs(directory / "saved_model.pb"):
        written_for = module.removeprefix(_BYTECODE)[1:].partition(b"\0")[0].decode()
        if version > limits.calling_convention or written_for != f"StableHLO_v{limits.stablehlo}":
            raise ExportError(
                f"{directory} holds {written_for} with calling convention {version}; TensorFlow"
                f" {target} reads StableHLO_v{limits.stablehlo} with {limits.calling_convention}"
            )


def _programs(path: epath.Path) -> list[tuple[int, bytes]]:
    """Calling convention and StableHLO of every lowered function in a graph."""
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    nodes = (
        node
        for meta in model.meta_graphs
        for function in meta.graph_def.library.function
        for node in function.node_def
        if node.op == "XlaCallModule"
    )
    found = [(node.attr["version"].i, node.attr["module"].s) for node in nodes]
    if not found:
        raise ExportError(f"{path} holds no lowered function")
    return found


def compare(
    expected: list[dict[str, Any]],
    kind: str,
    item: np.ndarray,
    score: np.ndarray,
    k: int,
    where: str,
) -> float:
    """The largest absolute difference of a score. Raises ExportError at the first that is too far.

    Args:
      expected: per row the "scores", "values" and "ids" of the best items, more than k of them.
      kind: "values" or "ids": what the items are.
      item: items that came back, [batch, k].
      score: their scores, [batch, k].
      k: length of the lists.
      where: the case, for the message.
    """
    shape = (len(expected), k)
    if item.shape != shape or score.shape != shape:
        raise ExportError(f"{where}: item {item.shape} and score {score.shape}, not {shape}")
    worst = 0.0
    for row, answer in enumerate(expected):
        own = dict(zip(answer[kind], answer["scores"], strict=True))
        found = [value.decode() if isinstance(value, bytes) else int(value) for value in item[row]]
        for place, (value, got) in enumerate(zip(found, score[row].tolist(), strict=True)):
            wanted = answer["scores"][place]
            at = f"{where}, row {row}, place {place}"
            if not _close(got, wanted):
                raise ExportError(
                    f"{at}: score {got:.7g}, JAX says {wanted:.7g}"
                    f" (they differ by {abs(got - wanted):.2g})"
                )
            if value not in own or not _close(own[value], wanted):
                raise ExportError(f"{at}: item {value!r}, JAX says {answer[kind][place]!r}")
            worst = max(worst, abs(got - wanted))
        named = [value for value in found if value]
        if len(set(named)) < len(named):
            raise ExportError(f"{where}, row {row}: an item appears twice")
    return worst


def _close(got: float, wanted: float) -> bool:
    return abs(got - wanted) <= TOLERANCE * (1 + abs(wanted))


def _times(rows: list[dict[str, Any]]) -> tuple[list[list[int]] | None, dict[str, np.ndarray]]:
    """Of golden rows the times and the input that brings them; none where the model reads none."""
    if "times" not in rows[0]:
        return None, {}
    times = [row["times"] for row in rows]
    return times, {"times": _rectangle(times, 0)}


def _rectangle(rows: list[list[Any]], padding: Any) -> np.ndarray:
    """Rows of strings (as bytes) or ids, filled up to the longest."""
    width = max(map(len, rows))
    array = np.full((len(rows), width), padding, object if padding == b"" else np.int64)
    for row, values in zip(array, rows, strict=True):
        row[: len(values)] = [v.encode() if isinstance(v, str) else v for v in values]
    return array


def main() -> None:
    """Prints the report and exits with 0, or what differs and exits with 1."""
    tf.get_logger().setLevel("ERROR")
    if len(sys.argv) != 2:
        sys.exit("usage: python -m podway.export.verification.verify models/NAME/VERSION")
    try:
        print(verify(sys.argv[1]))
    except ExportError as error:
        print(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
