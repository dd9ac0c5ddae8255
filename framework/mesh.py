"""Devices: what the hardware can do, the mesh it is laid out in, and where each array lies.

Models know nothing of the mesh. One table of parameter-path patterns says along which axis an
array is split; a path that no pattern matches, or a dimension that does not divide, is an error.
"""

import dataclasses
import re
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from framework import config
from framework.error import ConfigError, check

AXES = ("data", "fsdp")
BATCH = PartitionSpec(AXES)

RULES: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    (r"(.*/)?position/embedding", (None, "fsdp")),
    (r"(.*/)?embedding", ("fsdp", None)),
    (r"(.*/)?kernel", ("fsdp", None)),
    (r"(.*/)?(bias|scale)", (None,)),
)
"""Pattern of the whole parameter path → mesh axis of each dimension; the first match counts."""


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


def build(mesh: config.Mesh, devices: list[Any] | None = None) -> jax.sharding.Mesh:
    """The devices as a (data, fsdp) mesh. Raises ConfigError where there are too few."""
    devices = jax.devices() if devices is None else devices
    check(
        mesh.fsdp <= len(devices),
        f"mesh.fsdp asks for {mesh.fsdp} devices; there are {len(devices)}",
    )
    check(
        mesh.data != -1 or len(devices) % mesh.fsdp == 0,
        f"mesh.fsdp = {mesh.fsdp} does not divide the {len(devices)} devices;"
        " give a divisor, or set mesh.data too",
    )
    data = len(devices) // mesh.fsdp if mesh.data == -1 else mesh.data
    wanted = data * mesh.fsdp
    check(
        wanted <= len(devices),
        f"mesh.data × mesh.fsdp = {data} × {mesh.fsdp} asks for {wanted} devices;"
        f" there are {len(devices)}",
    )
    return jax.make_mesh(
        (data, mesh.fsdp), AXES, axis_types=(AxisType.Auto,) * 2, devices=devices[:wanted]
    )


def check_batch(mesh: jax.sharding.Mesh, batch_size: int, field: str) -> None:
    """Raises ConfigError unless the devices can share a batch evenly."""
    check(
        batch_size % mesh.size == 0,
        f"{field} = {batch_size} does not divide among the {mesh.size} devices of the mesh"
        f" {dict(mesh.shape)}; give a multiple of {mesh.size}",
    )


def batch_sharding(mesh: jax.sharding.Mesh) -> NamedSharding:
    """The first dimension split over all devices."""
    return NamedSharding(mesh, BATCH)


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def spec(path: str, shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> PartitionSpec:
    """The PartitionSpec of one parameter, by RULES. Raises ConfigError that shows the table."""
    for pattern, axes in RULES:
        if not re.fullmatch(pattern, path):
            continue
        if len(axes) != len(shape):
            raise ConfigErrorWithTable(f"{path} {shape} has not the dimensions of its rule {axes}")
        for size, axis in zip(shape, axes, strict=True):
            if axis and size % mesh.shape[axis]:
                raise ConfigErrorWithTable(
                    f"{path} {shape}: mesh.{axis} = {mesh.shape[axis]} does not divide {size}"
                )
        return PartitionSpec(*axes)
    raise ConfigErrorWithTable(f"no sharding rule matches the parameter {path} {shape}")


class ConfigErrorWithTable(ConfigError):
    """A ConfigError that ends with the table of rules."""

    def __init__(self, message: str):
        table = "\n".join(f"  {pattern:30} → {axes}" for pattern, axes in RULES)
        super().__init__(f"{message}; the rules are\n{table}")


def shardings(tree: Any, mesh: jax.sharding.Mesh) -> Any:
    """A sharding for each array of a training state.

    Arrays that lie under a parameter's path (the parameters, and the optimizer's moments of them)
    follow the rules; all else is replicated. `tree` holds arrays or their shapes.
    """

    def place(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        if leaf.ndim == 0:
            return replicated(mesh)
        return NamedSharding(mesh, spec(str(path[-1].key), leaf.shape, mesh))

    return jax.tree_util.tree_map_with_path(place, tree)
