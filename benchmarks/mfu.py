"""Training: a config's step on this machine's devices: time, MFU and memory, by attention kernel.

usage: python -m benchmarks.mfu decoder_1b --batch 8 [--items 128256] [--attention xla cudnn]
         [--remat none blocks] [--precision bf16]

The dataset is declared, not read, and the batch random. MFU is the FLOPs of the model's products
(framework/training/flops.py; what remat computes anew does not count) over time and the devices'
peak in bf16 (framework/devices/hardware.py).
"""

import argparse
import dataclasses
import itertools
from typing import Any

import jax
import numpy as np

from benchmarks import timing
from podway.framework import config
from podway.framework.devices import hardware, mesh
from podway.framework.input.batches import batch_shapes
from podway.framework.preflight.compile import declared
from podway.framework.schema.schema import FIRST_VALUE
from podway.framework.training.program import build_program
from podway.launch import experiments


def measure(experiment: config.Experiment, options: argparse.Namespace) -> None:
    """Prints the line of one variant."""
    schema = declared(options.items, 1000, options.history)
    devices = mesh.build(config.Mesh())
    program = build_program(experiment, schema, devices)
    state = program.initialize()
    generator = np.random.default_rng(0)
    shapes = batch_shapes(schema, program.lengths, options.batch)

    def inputs() -> dict[str, tuple[Any, ...]]:
        batch = {
            name: generator.integers(FIRST_VALUE, options.items, shape).astype(dtype)
            for name, (shape, dtype) in shapes.items()
        }
        return {"step": (program.place(batch),)}

    def take_step(batch: Any) -> jax.Array:
        nonlocal state
        state, metrics = program.step(state, batch)
        return metrics["loss"]

    times = timing.taking_turns(
        {"step": take_step}, inputs, rounds=options.rounds, steps=options.steps
    )
    seconds = float(np.median(times["step"]))
    peak = devices.size * hardware.peak_flops(jax.devices()[0])
    (length,) = {shape[1] for shape, _ in shapes.values() if len(shape) > 1}
    trainer = experiment.trainer
    temporary = program.step.memory_analysis().temp_size_in_bytes / 2**30
    print(
        f"  {trainer.precision}, attention {trainer.attention:6} remat {trainer.remat:9}"
        f" {1e3 * seconds:9.2f} ms/step   {options.batch * (length - 1) / seconds:12,.0f} tokens/s"
        f"   MFU {100 * program.flops / seconds / peak:5.1f} %   {temporary:6.2f} GiB temporary",
        flush=True,
    )


def main() -> None:
    """Prints a line per variant."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--items", type=int, default=128256)
    parser.add_argument("--history", type=int, default=2049)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--attention", nargs="+", default=["xla"])
    parser.add_argument("--remat", nargs="+", default=["blocks"])
    parser.add_argument("--precision", nargs="+", default=["bf16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps a round, dispatched ahead")
    options = parser.parse_args()
    base = experiments.load(options.config)
    print(f"{options.config}, batch {options.batch}, {jax.devices()[0].device_kind}:")
    for variant in itertools.product(options.precision, options.attention, options.remat):
        fields = dict(zip(("precision", "attention", "remat"), variant, strict=True))
        trainer = dataclasses.replace(base.trainer, batch_size=options.batch, **fields)  # type: ignore[arg-type]
        measure(dataclasses.replace(base, trainer=trainer, mesh=config.Mesh()), options)


if __name__ == "__main__":
    main()
