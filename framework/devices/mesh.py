"""The mesh that the devices are laid out in."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from podway.framework import config
from podway.framework.error import check

AXES = ("slice", "data", "fsdp", "tensor")
"""The mesh's axes, slowest network first."""
BATCH = PartitionSpec(("slice", "data", "fsdp"))
"""How the first dimension of a batch is split."""


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


def build(
    mesh: config.Mesh, devices: Sequence[Any] | None = None, slices: int | None = None
) -> jax.sharding.Mesh:
    """The devices as a (slice, data, fsdp, tensor) mesh, its fast axes along fast links.

    Args:
      mesh: how many devices lie along which axis.
      devices: all that JAX sees, or those of an ahead-of-time topology.
      slices: in which they are, one after the other; None: the devices know.

    Raises ConfigError where there are too few.
    """
    devices = jax.devices() if devices is None else list(devices)
    known = len({getattr(device, "slice_index", 0) for device in devices})
    slices = slices or known
    sizes = shape(mesh, len(devices), slices)
    wanted = math.prod(sizes.values())
    inner = (1, *tuple(sizes.values())[1:])
    if slices > 1:
        check(
            wanted == len(devices),
            f"the mesh {sizes} leaves devices of {slices} slices out; set mesh.data to −1",
        )
        if known == 1:
            each = np.array(devices).reshape(slices, -1)
            grid = np.concatenate([mesh_utils.create_device_mesh(inner, [*part]) for part in each])
        else:
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


def examples_sharding(mesh: jax.sharding.Mesh, examples: int) -> NamedSharding:
    """As a batch, where so many examples divide among all devices; else the same on every one."""
    return batch_sharding(mesh) if examples % mesh.size == 0 else replicated(mesh)


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())
