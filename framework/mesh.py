"""Devices: what the hardware can do, and the mesh it is laid out in."""

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from framework import config
from framework.error import check

AXES = ("slice", "data", "fsdp", "tensor")
"""The mesh's axes, slowest network first."""
BATCH = PartitionSpec(("slice", "data", "fsdp"))
"""How the first dimension of a batch is split."""


@dataclasses.dataclass(frozen=True)
class Hardware:
    """What one device can do.

    Attributes:
      peak_flops: dense bf16 FLOP/s, as the maker states it.
      source: where the figure comes from.
    """

    peak_flops: float
    source: str


HARDWARE = {
    "TPU v4": Hardware(275e12, "cloud.google.com/tpu/docs/v4"),
    "TPU v5 lite": Hardware(197e12, "cloud.google.com/tpu/docs/v5e"),
    "TPU v5": Hardware(459e12, "cloud.google.com/tpu/docs/v5p"),
    "TPU v6 lite": Hardware(918e12, "cloud.google.com/tpu/docs/v6e"),
    "NVIDIA A100": Hardware(312e12, "NVIDIA A100 datasheet, SXM and PCIe, dense"),
    "NVIDIA H100": Hardware(989e12, "NVIDIA H100 datasheet, SXM, dense"),
    "NVIDIA H200": Hardware(989e12, "NVIDIA H200 datasheet, SXM, dense"),
}
"""By the beginning of jax.Device.device_kind; the longest match counts."""


def peak_flops(device: Any) -> float:
    """FLOP/s that one device could do: from the table, for a CPU measured on an f32 product."""
    matches = [name for name in HARDWARE if device.device_kind.startswith(name)]
    if matches:
        return HARDWARE[max(matches, key=len)].peak_flops
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


def shape(mesh: config.Mesh, devices: int, slices: int = 1) -> dict[str, int]:
    """Devices along each axis, for a number of devices in so many slices.

    Raises ConfigError where they don't fit.
    """
    count = slices if mesh.slice == -1 else mesh.slice
    check(
        slices in (1, count),
        f"mesh.slice is {count}; the devices are in {slices} slices: give that, or −1",
    )
    fixed = count * mesh.fsdp * mesh.tensor
    wanted = fixed * max(mesh.data, 1)
    parts = f"mesh.slice × data × fsdp × tensor = {count} × {{}} × {mesh.fsdp} × {mesh.tensor}"
    check(
        wanted <= devices,
        f"{parts.format(max(mesh.data, 1))} asks for {wanted} devices; there are {devices}",
    )
    check(
        mesh.data != -1 or devices % fixed == 0,
        f"{parts.format('data')} does not divide the {devices} devices;"
        " give divisors, or set mesh.data too",
    )
    data = devices // fixed if mesh.data == -1 else mesh.data
    return dict(zip(AXES, (count, data, mesh.fsdp, mesh.tensor), strict=True))


def build(mesh: config.Mesh, devices: Sequence[Any] | None = None) -> jax.sharding.Mesh:
    """The devices as a (slice, data, fsdp, tensor) mesh, its fast axes along fast links.

    Args:
      mesh: how many devices lie along which axis.
      devices: all that JAX sees, or those of an ahead-of-time topology.

    Raises ConfigError where there are too few.
    """
    devices = jax.devices() if devices is None else list(devices)
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    sizes = shape(mesh, len(devices), slices)
    wanted = math.prod(sizes.values())
    inner = (1, *tuple(sizes.values())[1:])
    if slices > 1:
        check(
            wanted == len(devices),
            f"the mesh {sizes} leaves devices of {slices} slices out; set mesh.data to −1",
        )
        grid = mesh_utils.create_hybrid_device_mesh(
            inner, (slices, 1, 1, 1), devices, allow_split_physical_axes=True
        )
    elif wanted == len(devices):
        layout = (sizes["slice"], *inner[1:])
        grid = mesh_utils.create_device_mesh(layout, devices, allow_split_physical_axes=True)
    else:
        grid = np.array(devices[:wanted]).reshape(tuple(sizes.values()))
    return jax.sharding.Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def batch_parts(mesh: jax.sharding.Mesh) -> int:
    """Parts that a batch is split into: devices, less those along `tensor`."""
    return mesh.size // mesh.shape["tensor"]


def check_batch(
    mesh: jax.sharding.Mesh, batch_size: int, accumulate: int, field: str = "trainer.batch_size"
) -> None:
    """Raises ConfigError unless the devices can share each part of a batch evenly."""
    multiple = batch_parts(mesh) * accumulate
    check(
        batch_size % multiple == 0,
        f"{field} = {batch_size} does not divide among the {batch_parts(mesh)} devices that share"
        f" a batch in the mesh {dict(mesh.shape)}, {accumulate} part(s) each; give a multiple of"
        f" {multiple}",
    )


def batch_sharding(mesh: jax.sharding.Mesh) -> NamedSharding:
    """The first dimension split over all devices but those along `tensor`."""
    return NamedSharding(mesh, BATCH)


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())
