"""Accelerators: what one device can hold, compute and send. Every figure has its source.

The figures are the makers' peaks; nothing reaches them. A device is what JAX calls one: a chip of
TPU v4 or v5p with both cores, half a chip of tpu7x, a GPU.
"""

import dataclasses
import functools
import os
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class Kernels:
    """What a GPU's kernels reach of its peaks, and what each one costs at least.

    The defaults were measured on an H200: predictions with them are 4 to 9 % below four steps that
    were measured (docs/preflight.md).

    Attributes:
      cache: bytes that a kernel may move so that they stay in the second-level cache.
      seconds: that the shortest kernel takes.
      products: of the peak FLOP/s, what a product reaches.
      bandwidth: of the memory's, what is reached from memory.
      cached: the same, from the cache.
    """

    cache: float
    seconds: float = 3.5e-6
    products: float = 0.667
    bandwidth: float = 0.9
    cached: float = 1.25


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """One device and its connections.

    Attributes:
      name: as in "v5e:16x16".
      kind: how jax.Device.device_kind begins.
      peak_flops: dense FLOP/s of matrix products by type ("bf16", "f32", "int8", "fp8"). The TPU
        multiplies f32 as bf16 by default (jax.default_matmul_precision), at the speed of bf16.
      memory: bytes that a program may use; 0: that of the machine.
      hbm_bandwidth: bytes/s.
      ici_bandwidth: bytes/s of one link in one direction; for GPUs of all NVLinks of one GPU.
      ici_dimensions: of the torus, with two links each; 0 for a switch that joins all devices.
      dcn_bandwidth: bytes/s from one device into the data centre's network; None: no source found.
      devices_per_chip: what JAX counts for one chip, the unit of topologies and prices.
      chips_per_host: chips of one machine, for pods.
      max_chips: of one slice.
      small: slices that are no torus, by shape.
      torus: which other shapes exist: "" for none, "16" for those of `small` whose sides of 16 wrap
        around, "4" for cuboids of multiples of 4, which wrap around on all sides.
      kernels: what they reach; None: not measured, so the peaks count.
      sources: where the figures come from.
    """

    name: str
    kind: str
    peak_flops: dict[str, float]
    memory: int
    hbm_bandwidth: float
    ici_bandwidth: float
    ici_dimensions: int
    dcn_bandwidth: float | None
    devices_per_chip: int = 1
    chips_per_host: int = 4
    max_chips: int = 1
    small: tuple[tuple[int, ...], ...] = ()
    torus: str = ""
    kernels: Kernels | None = None
    sources: tuple[str, ...] = ()


_FLAT = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
_CUBES = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))
_MEMORY = "memory: the limit that libtpu 0.0.42 compiles against"
_GKE = "shapes below one cube: cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus"

ACCELERATORS = (
    Accelerator(
        name="v4",
        kind="TPU v4",
        peak_flops={"bf16": 275e12, "f32": 275e12, "int8": 275e12},
        memory=int(30.75 * GIB),
        hbm_bandwidth=1200e9,
        ici_bandwidth=50e9,
        ici_dimensions=3,
        dcn_bandwidth=None,
        max_chips=4096,
        small=_CUBES,
        torus="4",
        sources=(
            "flops, hbm, pod: docs.cloud.google.com/tpu/docs/v4",
            "ici: 6 links of 50 GB/s, Jouppi et al. 2023, arXiv:2304.01433, table 4",
            _GKE,
            _MEMORY,
        ),
    ),
    Accelerator(
        name="v5e",
        kind="TPU v5 lite",
        peak_flops={"bf16": 197e12, "f32": 197e12, "int8": 393e12},
        memory=int(15.75 * GIB),
        hbm_bandwidth=819e9,
        ici_bandwidth=50e9,
        ici_dimensions=2,
        dcn_bandwidth=25e9 / 8,
        chips_per_host=8,
        max_chips=256,
        small=_FLAT,
        torus="16",
        sources=(
            "flops, hbm, shapes: docs.cloud.google.com/tpu/docs/v5e",
            "ici: there 400 GB/s a chip in both directions over 4 ports",
            "dcn: there 6.4 Tbit/s a pod of 256 chips",
            "wrap-around: sides of 16, jax-ml.github.io/scaling-book/tpus",
            _MEMORY,
        ),
    ),
    Accelerator(
        name="v5p",
        kind="TPU v5",
        peak_flops={"bf16": 459e12, "f32": 459e12, "int8": 918e12},
        memory=int(95.73 * GIB),
        hbm_bandwidth=2765e9,
        ici_bandwidth=100e9,
        ici_dimensions=3,
        dcn_bandwidth=50e9 / 8,
        max_chips=6144,
        small=_CUBES,
        torus="4",
        sources=(
            "flops, hbm, shapes, largest job, torus: docs.cloud.google.com/tpu/docs/v5p",
            "int8: jax.experimental.pallas.tpu.get_tpu_info_for_chip",
            "ici: there 1,200 GB/s a chip in both directions over 6 links",
            "dcn: there 50 Gbit/s a chip",
            _GKE,
            _MEMORY,
        ),
    ),
    Accelerator(
        name="v6e",
        kind="TPU v6 lite",
        peak_flops={"bf16": 918e12, "f32": 918e12, "int8": 1836e12},
        memory=int(31.24 * GIB),
        hbm_bandwidth=1638e9,
        ici_bandwidth=100e9,
        ici_dimensions=2,
        dcn_bandwidth=None,
        chips_per_host=8,
        max_chips=256,
        small=_FLAT,
        torus="16",
        sources=(
            "flops, hbm: docs.cloud.google.com/tpu/docs/v6e",
            "ici: there 800 GB/s a chip in both directions over 4 ports",
            "shapes and wrap-around: as v5e, jax-ml.github.io/scaling-book/tpus",
            _MEMORY,
        ),
    ),
    Accelerator(
        name="tpu7x",
        kind="TPU7x",
        peak_flops={"bf16": 2307e12 / 2, "f32": 2307e12 / 2, "fp8": 4614e12 / 2},
        memory=int(94.74 * GIB),
        hbm_bandwidth=7.40e12 / 2,
        ici_bandwidth=100e9,
        ici_dimensions=3,
        dcn_bandwidth=None,
        devices_per_chip=2,
        max_chips=9216,
        small=_CUBES,
        torus="4",
        sources=(
            "flops, pod: docs.cloud.google.com/tpu/docs/tpu7x, half a chip a device",
            "hbm: jax.experimental.pallas.tpu.get_tpu_info_for_chip",
            "ici: assumed to be that of v5p, per chip; both its devices share it",
            _MEMORY,
        ),
    ),
    Accelerator(
        name="a100",
        kind="NVIDIA A100",
        peak_flops={"bf16": 312e12, "f32": 156e12, "int8": 624e12},
        memory=80 * 10**9,
        hbm_bandwidth=2039e9,
        ici_bandwidth=300e9,
        ici_dimensions=0,
        dcn_bandwidth=25e9,
        chips_per_host=8,
        kernels=Kernels(27e6),
        sources=(
            "NVIDIA A100 80 GB datasheet, SXM, dense; f32 is TF32; NVLink 600 GB/s both ways",
            "dcn: one 200 Gbit/s adapter a GPU, DGX A100 datasheet",
        ),
    ),
    Accelerator(
        name="h100",
        kind="NVIDIA H100",
        peak_flops={"bf16": 989e12, "f32": 494e12, "fp8": 1979e12, "int8": 1979e12},
        memory=80 * 10**9,
        hbm_bandwidth=3350e9,
        ici_bandwidth=450e9,
        ici_dimensions=0,
        dcn_bandwidth=50e9,
        chips_per_host=8,
        kernels=Kernels(33e6),
        sources=(
            "NVIDIA H100 datasheet, SXM, dense; f32 is TF32; NVLink 900 GB/s both ways",
            "dcn: one 400 Gbit/s adapter a GPU, DGX H100 datasheet",
        ),
    ),
    Accelerator(
        name="h200",
        kind="NVIDIA H200",
        peak_flops={"bf16": 989e12, "f32": 494e12, "fp8": 1979e12, "int8": 1979e12},
        memory=141 * 10**9,
        hbm_bandwidth=4800e9,
        ici_bandwidth=450e9,
        ici_dimensions=0,
        dcn_bandwidth=50e9,
        chips_per_host=8,
        kernels=Kernels(40e6),
        sources=(
            "NVIDIA H200 datasheet, SXM, dense; f32 is TF32; NVLink 900 GB/s both ways",
            "dcn: one 400 Gbit/s adapter a GPU, DGX H200 datasheet",
        ),
    ),
    Accelerator(
        name="cpu",
        kind="cpu",
        peak_flops={},
        memory=0,
        hbm_bandwidth=20e9,
        ici_bandwidth=10e9,
        ici_dimensions=0,
        dcn_bandwidth=None,
        sources=(
            "flops: measured on this machine (peak_flops); memory: this machine's",
            "bandwidths: round figures for development, no claim about any machine",
        ),
    ),
)


def of(device: Any) -> Accelerator | None:
    """The accelerator that a jax.Device is; None where the table does not have it."""
    kinds = [
        accelerator
        for accelerator in ACCELERATORS
        if device.device_kind.startswith(accelerator.kind)
    ]
    return max(kinds, key=lambda each: len(each.kind), default=None)


def named(name: str) -> Accelerator | None:
    """The accelerator of a name; None where the table does not have it."""
    return next((accelerator for accelerator in ACCELERATORS if accelerator.name == name), None)


def peak_flops(device: Any) -> float:
    """FLOP/s in bf16 that one device could do: of the table; measured for a CPU."""
    return peaks(device)["bf16"]


def peaks(device: Any) -> dict[str, float]:
    """FLOP/s by type that one device could do: from the table, for a CPU measured on f32."""
    known = of(device)
    if known is not None and known.peak_flops:
        return known.peak_flops
    rate = _measured_flops(device)
    return dict.fromkeys(("bf16", "f32", "int8", "fp8"), rate)


@functools.cache
def _measured_flops(device: Any) -> float:
    size = 1024
    x = jax.device_put(np.ones((size, size), np.float32), device)
    multiply = jax.jit(jnp.matmul)
    multiply(x, x).block_until_ready()
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        multiply(x, x).block_until_ready()
        rates.append(2 * size**3 / (time.perf_counter() - start))
    # Forced host devices share the cores that this product had to itself.
    return max(rates) / (jax.device_count() if device.platform == "cpu" else 1)


_RESERVED = 0.75
"""What JAX takes of a GPU's memory, unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise."""


def memory(device: Any) -> int:
    """Bytes that a program may use on a device.

    A GPU that is present says itself what JAX has reserved of it; one that is not has what JAX
    would reserve. Forced host devices share the machine's memory.
    """
    known = of(device)
    if device.platform == "gpu":
        try:
            return int((device.memory_stats() or {}).get("bytes_limit", 0))
        except jax.errors.JaxRuntimeError:  # a stand-in has none
            return int(known.memory * _RESERVED) if known is not None else 0
    if known is not None and known.memory:
        return known.memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // jax.device_count()
