"""Training: time of one step, whole logits against chunked ones, f32 against bf16.

usage: python -m benchmarks.train [--items 3500] [--batch 128] [--length 200] [--width 64]

Runs SASRec's step on random histories in one process; the variants take turns, and each line's
ratio is against the first.
"""

import argparse
import time

import jax
import numpy as np

from podway.framework import config
from podway.framework.devices import mesh
from podway.framework.losses import chunks
from podway.framework.models.sasrec import SasRec
from podway.framework.schema.schema import Feature, Schema
from podway.framework.training.optimizer import AdamW
from podway.framework.training.program import Program, build_program


def program(options: argparse.Namespace, precision: str) -> Program:
    """The compiled step."""
    experiment = config.Experiment(
        name="benchmark",
        data=config.Data(name="random", path="none"),
        model=SasRec(width=options.width, max_length=options.length),
        optimizer=AdamW(),
        trainer=config.Trainer(batch_size=options.batch, precision=precision),  # type: ignore[arg-type]
    )
    schema = Schema((Feature("item", "item", "int32", True, "item", options.items, 1000),))
    return build_program(experiment, schema, mesh.build(config.Mesh()))


def main() -> None:
    """Prints a line per variant: ms per step, ratio, TFLOP/s, temporary memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=3500)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    backend = jax.default_backend()
    chunk = chunks.CHUNK_ELEMENTS[backend]
    variants = {}
    for name, elements, precision in (
        ("f32, whole logits", 1 << 40, "f32"),
        ("f32, chunked", chunk, "f32"),
        ("bf16, chunked", chunk, "bf16"),
    ):
        chunks.CHUNK_ELEMENTS[backend] = elements
        variants[name] = program(options, precision)
    generator = np.random.default_rng(0)
    shape = (options.batch, options.length + 1)
    batch = {"item": generator.integers(2, options.items, shape).astype(np.int32)}
    states = {name: each.initialize() for name, each in variants.items()}
    times: dict[str, list[float]] = {name: [] for name in variants}
    for round_ in range(options.rounds + 1):
        for name, each in variants.items():
            placed = each.place(batch)
            start = time.perf_counter()
            states[name], metrics = each.step(states[name], placed)
            jax.block_until_ready(metrics)
            if round_:
                times[name].append(time.perf_counter() - start)
    base = np.median(times["f32, whole logits"])
    for name, each in variants.items():
        seconds = float(np.median(times[name]))
        memory = each.step.memory_analysis().temp_size_in_bytes / 2**20
        print(
            f"{name:20} {1e3 * seconds:8.1f} ms/step   ×{seconds / base:.2f}"
            f"   {each.flops / seconds / 1e12:7.3f} TFLOP/s   {memory:8.0f} MiB temporary"
        )


if __name__ == "__main__":
    main()
