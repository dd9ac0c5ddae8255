"""The served SASRec with its item table in each format: bytes, memory and time beside f32.

    taskset -c 0 python -m benchmarks.compress.formats
    taskset -c 0 python -m benchmarks.compress.formats --items 100000 --calls 15 --formats f32 int8

Writes a model of random parameters (one block, width 64) in each format as the export does, loads
the SavedModels, and calls them in turn with batches of 1, 8 and 64 histories: the median of the CPU
seconds of a call, and its ratio to f32. Memory is measured apart, in a fresh process for each: what
belongs to it alone after it has answered, beside TensorFlow's own, and the highest that its memory
rose in between.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np

from podway.export.lowering import recommender, stablehlo
from podway.export.silence import silence_tensorflow
from podway.framework import task
from podway.framework.formats import float8, int4, int8, matrix
from podway.framework.models.sasrec import SasRec
from podway.framework.schema.schema import FIRST_VALUE, Feature, Schema

LENGTH, TOP_K, BATCHES = 16, 20, (1, 8, 64)
MODEL = SasRec(width=64, blocks=1, max_length=LENGTH, dropout=0.0)
TABLE = "item/embedding"
FORMATS: dict[str, Callable[[Any], Any]] = {
    "f32": lambda table: table,
    "int8": int8.quantize,
    "int4": int4.quantize,
    "float8": float8.quantize,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=11, help="timed calls; the median counts")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        print(json.dumps(answer(options.answer)))
        return
    names = list(dict.fromkeys(["f32", *options.formats]))
    with tempfile.TemporaryDirectory() as directory:
        folders = {name: pathlib.Path(directory) / name for name in names}
        sizes = {name: write(folders[name], name, options.items) for name in names}
        grown = {name: measure(folder) for name, folder in folders.items()}
        times = taking_turns(folders, options.calls)
    print(f"{options.items:,} items, width 64; MB, and CPU ms a call (ratio to f32)")
    print(f"{'':8}{'table':>14}{'memory':>16}{'highest':>16}", end="")
    print("".join(f"{f'batch {batch}':>18}" for batch in BATCHES))
    for name in names:
        print(f"{name:8}{sizes[name] / 1e6:7.1f} (×{sizes['f32'] / sizes[name]:.2f})", end="")
        for key in ("after", "highest"):
            print(
                f"{grown[name][key] / 1e6:8.0f} (×{grown['f32'][key] / grown[name][key]:.2f})",
                end="",
            )
        for batch in BATCHES:
            own, first = times[name][batch], times["f32"][batch]
            print(f"{1000 * own:10.2f} ({own / first:.2f})", end="")
        print(flush=True)


def write(folder: pathlib.Path, name: str, items: int) -> int:
    """Writes a SavedModel; returns the bytes of its item table."""

    def stored(parameters: dict[str, Any]) -> dict[str, Any]:
        return matrix.spread(parameters | {TABLE: FORMATS[name](parameters[TABLE])})

    host = write_model(folder, MODEL, items, stored)
    return sum(array.nbytes for path, array in host.items() if path.startswith(TABLE))


def write_model(
    folder: pathlib.Path,
    model: SasRec,
    items: int,
    stored: Callable[[dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """Writes a SavedModel of random parameters, and returns them as they are `stored`."""
    import tensorflow as tf

    from podway.export.graph import lowered

    schema = Schema((Feature("item", "item", "int32", True, "item", items + FIRST_VALUE, LENGTH),))
    draw, shapes = (
        np.random.default_rng(0),
        jax.eval_shape(lambda: task.initialize(model, schema, jax.random.key(0))),
    )
    parameters = {
        path: draw.standard_normal(each.shape, np.float32) / 8 for path, each in shapes.items()
    }
    host = jax.device_get(stored(parameters))
    function = recommender.recommend(model, schema, TOP_K)
    with silence_tensorflow():
        program = stablehlo.lower(function, host, LENGTH, "2.18")
        module: Any = lowered.LoweredModule(program, lowered.weights([program], host), BATCHES)
        spec = tf.TensorSpec([None, LENGTH], tf.int32, "history")
        module.serve = tf.function(lambda history: {"score": module(history)[0]})
        signatures = {"serving_default": module.serve.get_concrete_function(spec)}
        tf.saved_model.save(module, str(folder), signatures=signatures)
    return host


def measure(folder: pathlib.Path) -> dict[str, int]:
    """What `answer` says in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.compress.formats", "--answer", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().rpartition("\n")[2])


def answer(folder: str) -> dict[str, int]:
    """Bytes that this process grew by, when it has answered, and at most."""
    import tensorflow as tf

    with silence_tensorflow():
        tf.function(lambda x: x @ x, jit_compile=True)(tf.ones((8, 8)))  # the compiler is there
        before = memory("RssAnon"), memory("VmRSS")
        ask = load(folder)
        for _ in range(3):
            ask(1)
    return {"after": memory("RssAnon") - before[0], "highest": memory("VmHWM") - before[1]}


def memory(field: str) -> int:
    """Bytes of this process, by a field of its status."""
    text = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(text.partition(f"{field}:")[2].split()[0])


def load(folder: Any) -> Callable[[int], Any]:
    """A function that asks a SavedModel for so many rows."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder))
    signature = model.signatures["serving_default"]
    histories = np.random.default_rng(1).integers(FIRST_VALUE, 1000, (max(BATCHES), LENGTH))

    def ask(rows: int, model: Any = model) -> Any:  # which keeps the model in memory
        return signature(history=tf.constant(histories[:rows], tf.int32))["score"].numpy()

    return ask


def taking_turns(folders: Mapping[str, pathlib.Path], calls: int) -> dict[str, dict[int, float]]:
    """Median CPU seconds of a call, by name and batch size."""
    with silence_tensorflow():
        asks = {name: load(folder) for name, folder in folders.items()}
        found: dict[str, dict[int, float]] = {name: {} for name in asks}
        for batch in BATCHES:
            times: dict[str, list[float]] = {name: [] for name in asks}
            for call in range(calls + 1):
                for name, ask in asks.items():
                    start = time.process_time()
                    ask(batch)
                    if call:  # the first one compiles
                        times[name].append(time.process_time() - start)
            for name, each in times.items():
                found[name][batch] = statistics.median(each)
    return found


if __name__ == "__main__":
    main()
