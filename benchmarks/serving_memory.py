"""Memory of the embedded server at its highest, beside what a deployment gives it.

    python -m benchmarks.serving_memory
    python -m benchmarks.serving_memory --items 10000 1000000

Writes a SASRec of random parameters (two blocks, width 64) as the export does, serves it with the
batching parameters of a deployment, asks for batches of 1 to 300 histories, and reads the process's
peak. The ratio is to the memory that `podway deploy` gives its pods (launch/targets/published.py).
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np

from benchmarks.catalogue import LENGTH, MODEL, TOP_K
from podway.export.contract import Contract
from podway.export.graph import saved_model
from podway.export.lowering import recommender, stablehlo
from podway.export.silence import silence_tensorflow
from podway.framework import task
from podway.framework.schema.schema import FIRST_VALUE, Feature, Schema, Vocabulary
from podway.launch.targets.published import Published
from podway.launch.targets.server import Run

BUCKETS = (1, 8, 64)
PORTS = (18500, 18501)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 300_000, 1_000_000])
    options = parser.parse_args()
    print(f"{'items':>10}{'files MiB':>11}{'peak MiB':>10}{'given MiB':>11}{'ratio':>7}")
    for items in options.items:
        with tempfile.TemporaryDirectory() as directory:
            home = pathlib.Path(directory)
            files = write(items, home / "models" / "1")
            published = Published("m", 1, files, BUCKETS, True, "")
            peak, given = serve(published, home), published.memory
        shown = [each / 2**20 for each in (files, peak, given)]
        print(
            f"{items:10}{shown[0]:11.1f}{shown[1]:10.0f}{shown[2]:11.0f}{peak / given:7.2f}",
            flush=True,
        )


def write(items: int, folder: pathlib.Path) -> int:
    """Writes a model of so many items. Returns the bytes of its files."""
    size = items + FIRST_VALUE
    schema = Schema((Feature("item", "item", "int32", True, "item", size, LENGTH),))
    parameters = task.initialize(MODEL, schema, jax.random.key(0))
    contract = Contract("2.18", TOP_K, LENGTH, BUCKETS)
    values = tuple(f"item {number}" for number in range(items))
    vocabulary = Vocabulary(("", "", *values), (0,) * 2 + (1,) * items)
    host = {path: np.asarray(value) for path, value in parameters.items()}
    function = recommender.recommend(MODEL, schema, TOP_K)
    program = stablehlo.lower(function, host, LENGTH, contract.target)
    folder.parent.mkdir(parents=True)
    with silence_tensorflow():
        saved_model.write(folder, program, None, host, vocabulary, contract, {})
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


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


if __name__ == "__main__":
    main()
