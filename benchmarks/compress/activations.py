"""The served SASRec with its layers' kernels in int8, and with int8 inputs too: time beside f32.

    taskset -c 0 python -m benchmarks.compress.activations
    taskset -c 0 python -m benchmarks.compress.activations --width 512 --calls 21

Writes a model of random parameters whose layers, not its items, take the time (two blocks, 3,000
items) as the export does, loads the SavedModels, and calls them in turn with batches of 1, 8 and 64
histories: the median of the CPU seconds of a call, and its ratio to f32. Then the same of one
product alone, [rows, width] by [width, 4 · width], as JAX compiles it.
"""

import argparse
import functools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.compress import formats
from podway.framework.compression import tables
from podway.framework.formats import int8, matrix, w8a8
from podway.framework.models.sasrec import SasRec

ITEMS, REACH = 3000, 4.0
KINDS: dict[str, Callable[[Any], Any]] = {
    "f32": lambda kernel: kernel,
    "int8 weights": int8.quantize_kernel,
    "int8 both": lambda kernel: w8a8.quantize(kernel, jnp.float32(REACH)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=256, help="of the model")
    parser.add_argument("--calls", type=int, default=21, help="timed calls; the median counts")
    options = parser.parse_args()
    model = SasRec(width=options.width, blocks=2, max_length=formats.LENGTH, dropout=0.0)
    with tempfile.TemporaryDirectory() as directory:
        folders = {name: pathlib.Path(directory) / name.replace(" ", "_") for name in KINDS}
        for name, kind in KINDS.items():
            formats.write_model(folders[name], model, ITEMS, functools.partial(stored, kind))
        times = formats.taking_turns(folders, options.calls)
    print(f"a model of width {options.width}; CPU ms of a call (ratio to f32)")
    show(times, "batch")
    print(f"a product by [{options.width}, {4 * options.width}]; CPU ms (ratio to f32)")
    show(products(options.width, options.calls), "rows")


def stored(kind: Callable[[Any], Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with the kernels of a kind."""
    found = {path: kind(parameters[path]) for path in tables.kernels(parameters)}
    return matrix.spread({**parameters, **found})


def products(width: int, calls: int) -> dict[str, dict[int, float]]:
    """Median CPU seconds of a product, by kind of kernel and rows."""
    draw = np.random.default_rng(0)
    kernel = draw.standard_normal((width, 4 * width), np.float32)
    found: dict[str, dict[int, float]] = {name: {} for name in KINDS}
    multiply = {
        "f32": jax.jit(lambda x, kernel: x @ kernel),
        "int8 weights": jax.jit(lambda x, kernel: x @ kernel.dense()),
        "int8 both": jax.jit(lambda x, kernel: kernel.layer(x)),
    }
    kernels = {name: jax.device_put(kind(kernel)) for name, kind in KINDS.items()}
    for rows in (16, 128, 1024):
        x = jax.device_put(draw.standard_normal((rows, width), np.float32))
        times: dict[str, list[float]] = {name: [] for name in KINDS}
        for call in range(calls + 1):
            for name, function in multiply.items():
                start = time.process_time()
                for _ in range(5):
                    function(x, kernels[name]).block_until_ready()
                if call:  # the first one compiles
                    times[name].append((time.process_time() - start) / 5)
        for name, each in times.items():
            found[name][rows] = statistics.median(each)
    return found


def show(times: Mapping[str, Mapping[int, float]], what: str) -> None:
    """A table of milliseconds."""
    sizes = list(times["f32"])
    print(f"{'':14}" + "".join(f"{f'{what} {size}':>18}" for size in sizes))
    for name, each in times.items():
        cells = (f"{1000 * each[s]:10.2f} ({each[s] / times['f32'][s]:.2f})" for s in sizes)
        print(f"{name:14}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
