"""The served SASRec over a large catalogue: milliseconds a request, and recall against exact.

    taskset -c 0 python -m benchmarks.catalogue
    taskset -c 0 python -m benchmarks.catalogue --items 100000 1000000
    python -m benchmarks.catalogue --memory --items 10000 300000 1000000

Writes a model of random parameters (two blocks, width 64) as the export does, loads the SavedModel
as the server does, and calls it with batches of histories of 50 items. Beside it the same function
under jax.jit, in turn. Recall is that of the answers' ids among the exact best, which NumPy ranks
from the user vectors in double precision.

With --memory it is the embedded server's memory instead: its peak, after batches of 1 to 300
histories, over what `podway deploy` gives its pods (launch/targets/published.py).
"""

import argparse
import json
import os
import pathlib
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np

from podway.export.contract import Contract
from podway.export.graph import saved_model
from podway.export.lowering import recommender, stablehlo
from podway.export.server.runtime import servable
from podway.export.silence import silence_tensorflow
from podway.framework import task
from podway.framework.models.sasrec import SasRec
from podway.framework.schema.schema import FIRST_VALUE, Feature, Schema, Vocabulary
from podway.launch.targets.published import Published
from podway.launch.targets.server import Run

LENGTH, TOP_K, BATCHES = 50, 20, (1, 8)
BUCKETS = (1, 8, 64)
"""Batch sizes of a served model."""
PORTS = (18500, 18501)
MODEL = SasRec(width=64, blocks=2, max_length=LENGTH, dropout=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--repeats", type=int, default=15, help="timed calls; the median counts")
    parser.add_argument("--memory", action="store_true", help="of the embedded server")
    options = parser.parse_args()
    if options.memory:
        print(f"{'items':>10}{'files MiB':>11}{'peak MiB':>10}{'given MiB':>11}{'ratio':>7}")
        for items in options.items:
            print(memory(items), flush=True)
        return
    print(f"{'items':>10}{'batch':>7}{'ms/request':>12}{'jax.jit':>10}{'ratio':>7}{'recall':>8}")
    for items in options.items:
        measure(items, options.repeats)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def measure(items: int, repeats: int) -> None:
    size = items + FIRST_VALUE
    schema = Schema((Feature("item", "item", "int32", True, "item", size, LENGTH),))
    parameters = task.initialize(MODEL, schema, jax.random.key(0))
    function = recommender.recommend(MODEL, schema, TOP_K)
    histories = np.random.default_rng(0).integers(FIRST_VALUE, size, (max(BATCHES), LENGTH))
    served = load(function, parameters, size)
    jitted = jax.jit(function)
    for batch in BATCHES:
        ids = histories[:batch]
        wanted = exact(parameters, schema, ids)
        _, found = served(ids)
        recall = np.mean([len({*a} & {*b}) for a, b in zip(found, wanted, strict=True)]) / TOP_K
        own, peer = in_turn(
            lambda ids=ids: served(ids),
            lambda ids=ids: jax.block_until_ready(jitted(parameters, ids.astype(np.int32))),
            repeats,
        )
        print(
            f"{items:10}{batch:7}{own / batch:12.2f}{peer / batch:10.2f}{own / peer:7.2f}"
            f"{recall:8.4f}",
            flush=True,
        )


def load(function: Any, parameters: Any, size: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """The signature `ids` of the SavedModel: histories → scores and ids."""
    with tempfile.TemporaryDirectory() as directory, silence_tensorflow():
        write(pathlib.Path(directory) / "1", function, parameters, size, BATCHES)
        signature = servable.load(pathlib.Path(directory) / "1").signature("ids")

    def served(ids: np.ndarray) -> list[np.ndarray]:
        answer = dict(zip(signature.outputs, signature.run([ids.astype(np.int64)]), strict=True))
        return [answer["score"], answer["item"]]

    return served


def write(
    folder: pathlib.Path, function: Any, parameters: Any, size: int, batches: tuple[int, ...]
) -> None:
    """Writes the SavedModel."""
    contract = Contract("2.18", TOP_K, LENGTH, batches)
    values = tuple(f"item {number}" for number in range(size - FIRST_VALUE))
    vocabulary = Vocabulary(("", "", *values), (0,) * 2 + (1,) * len(values))
    host = {path: np.asarray(value) for path, value in parameters.items()}
    program = stablehlo.lower(function, host, LENGTH, contract.target)
    saved_model.write(folder, program, None, host, vocabulary, contract, {})


def memory(items: int) -> str:
    """A row: the files of a model of so many items, its server's peak, what it would be given."""
    size = items + FIRST_VALUE
    schema = Schema((Feature("item", "item", "int32", True, "item", size, LENGTH),))
    parameters = task.initialize(MODEL, schema, jax.random.key(0))
    function = recommender.recommend(MODEL, schema, TOP_K)
    with tempfile.TemporaryDirectory() as directory, silence_tensorflow():
        home = pathlib.Path(directory)
        (home / "models").mkdir()
        write(home / "models" / "1", function, parameters, size, BUCKETS)
        files = sum(each.stat().st_size for each in home.rglob("*") if each.is_file())
        published = Published("m", 1, files, BUCKETS, True, "")
        peak = serve(published, home)
    shown = [each / 2**20 for each in (files, peak, published.memory)]
    return (
        f"{items:10}{shown[0]:11.1f}{shown[1]:10.0f}{shown[2]:11.0f}{peak / published.memory:7.2f}"
    )


def serve(published: Published, home: pathlib.Path) -> int:
    """Serves a model, asks it, and ends. Returns the server's memory at its highest, in bytes."""
    run = Run("podway", published, str(home / "models"), threads=2, home=str(home))
    for name, text in run.files().items():
        (home / name).write_text(text)
    flags = [*run.command()[1:], f"--port={PORTS[0]}", f"--rest_api_port={PORTS[1]}"]
    command = [sys.executable, "-m", "podway.export.server", *flags]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{PORTS[1]}"
    try:
        while not ready(address + run.ready):
            assert process.poll() is None, "the server has ended"
            time.sleep(0.2)
        for rows in (1, 8, 64, 300):
            body = {"instances": [{"history": ["item 1", "item 2"]}] * rows}
            url = f"{address}/v1/models/m:predict"
            urllib.request.urlopen(url, json.dumps(body).encode(), timeout=120).read()
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", status)
        assert found is not None
        return 1024 * int(found[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def ready(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except urllib.error.URLError:
        return False


def exact(parameters: Any, schema: Schema, ids: np.ndarray) -> np.ndarray:
    """The ids of the best unseen items, [batch, k]."""
    infer = task.inference(MODEL, schema, MODEL.factors)
    factors = infer(parameters, {"item": jax.numpy.asarray(ids, np.int32)}, task.SERVING)
    query, table = (np.asarray(part, np.float64) for part in factors)
    scores = query @ table[: schema["item"].size].T
    scores[:, :FIRST_VALUE] = -np.inf
    np.put_along_axis(scores, ids, -np.inf, axis=1)
    return np.argsort(-scores, axis=1, kind="stable")[:, :TOP_K]


def in_turn(own: Callable, peer: Callable, repeats: int) -> tuple[float, float]:
    """Median milliseconds of both, called alternately."""
    times: tuple[list[float], list[float]] = ([], [])
    for call in (own, peer):
        call()
    for _ in range(repeats):
        for call, taken in zip((own, peer), times, strict=True):
            start = time.perf_counter()
            call()
            taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    main()
