"""Does a SavedModel answer as JAX did? To be run in a process of its own, which knows no JAX:

    python -m podway.export.verification models/NAME/VERSION

The model is run as servers run it, through a v1 session. Every case of the golden file goes through
all signatures, then every warm-up request. An answer may differ by golden.TOLERANCE, and where the
model itself rounds to integers by as much as that moves an answer.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from etils import epath
from tensorflow.core.protobuf import saved_model_pb2

from podway.export.error import ExportError
from podway.export.lowering.target import TARGETS
from podway.export.verification import golden, sessions, warmup
from podway.export.verification.golden import Golden, Request
from podway.export.verification.labels import LabelsGolden
from podway.export.verification.recommender import RecommenderGolden
from podway.export.verification.sessions import Signature
from podway.framework import progress

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
    command = [sys.executable, "-P", "-m", "podway.export.verification", os.fspath(directory)]
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
    content = golden.read(directory)
    check_target(directory, content["target"])
    signatures = sessions.load(directory)
    expected = _golden(content, signatures)
    expected.check_signatures()
    cases, worst = content["cases"], 0.0
    for number, case in enumerate(cases, 1):
        for request in expected.requests(case):
            worst = max(worst, _difference(signatures, request))
        print(f"{number}/{len(cases)} {case['name']}", flush=True)
    for request in expected.further_requests():
        worst = max(worst, _difference(signatures, request))
    warmups = warmup.read(directory)
    for number, sent in enumerate(warmups):
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in sent.inputs.items()}
        name = sent.model_spec.signature_name
        sessions.run(signatures[name], inputs, f"warm-up request {number}")
    rounding = content.get(golden.ROUNDING, 0.0)
    integers = f" (rounding to integers moves one by {rounding:.1e})" if rounding else ""
    return (
        f"verified: {len(cases)} cases and {len(warmups)} warm-up requests by {len(signatures)}"
        f" signatures; largest difference of {expected.measure} {worst:.1e}{integers}"
    )


def _golden(content: dict[str, Any], signatures: Mapping[str, Signature]) -> Golden:
    """The golden file as its kind of models reads it."""
    kind = LabelsGolden if content.get("kind") == "rows" else RecommenderGolden
    return kind(content, signatures)


def _difference(signatures: Mapping[str, Signature], request: Request) -> float:
    found = sessions.run(signatures[request.signature], request.inputs, request.where)
    return request.difference(found)


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
