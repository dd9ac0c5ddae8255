"""Where each array of a training state lies: one table of rules.

Models know nothing of the mesh. A pattern of a parameter's path says along which axes its
dimensions are split; a path that no pattern matches, or a dimension that does not divide, is an
error that shows the table. The optimizer's moments and the moving average lie as their parameter
does. Sparse embedding tables are split over all devices by their first dimension.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from framework.error import ConfigError
from framework.mesh import AXES, replicated

Axes = str | tuple[str, ...] | None
"""The mesh axes along which one dimension is split."""

RULES: tuple[tuple[str, tuple[Axes, ...]], ...] = (
    (r"(.*/)?position/embedding", (None, "fsdp")),
    (r"(.*/)?embedding", ("tensor", "fsdp")),
    (r"(.*/)?(qkv|up)/kernel", ("fsdp", "tensor")),
    (r"(.*/)?(out|down)/kernel", ("tensor", "fsdp")),
    (r"(.*/)?kernel", ("fsdp", None)),
    (r"(.*/)?(qkv|up)/bias", ("tensor",)),
    (r"(.*/)?(bias|scale)", (None,)),
)
"""Pattern of the whole parameter path → mesh axes of each dimension; the first match counts.
Tensor parallelism is that of Megatron-LM (Shoeybi et al. 2019, arXiv:1909.08053): a layer's first
product is split by its columns, its second by its rows."""

TABLE = PartitionSpec(AXES)
"""A sparse embedding table, [shards, rows per shard, width], or a slot of its optimizer."""


class ShardingError(ConfigError):
    """A parameter that the rules cannot place; the message ends with the table of rules."""

    def __init__(self, message: str):
        table = "\n".join(f"  {pattern:30} → {axes}" for pattern, axes in RULES)
        super().__init__(f"{message}; the rules are\n{table}")


def spec(path: str, shape: tuple[int, ...], mesh: Mapping[str, int]) -> PartitionSpec:
    """The PartitionSpec of one parameter, by RULES, on a mesh {axis: devices}.

    Raises ShardingError.
    """
    for pattern, axes in RULES:
        if not re.fullmatch(pattern, path):
            continue
        if len(axes) != len(shape):
            raise ShardingError(f"{path} {shape} has not the dimensions of its rule {axes}")
        for size, axis in zip(shape, axes, strict=True):
            parts = _parts(axis, mesh)
            if size % parts:
                raise ShardingError(f"{path} {shape}: mesh.{axis} = {parts} does not divide {size}")
        return PartitionSpec(*axes)
    raise ShardingError(f"no sharding rule matches the parameter {path} {shape}")


def specs(tree: Any, mesh: Mapping[str, int]) -> Any:
    """A PartitionSpec for each array (or shape) of a training state. Raises ShardingError."""

    def place(path: tuple[Any, ...], leaf: Any) -> PartitionSpec:
        if leaf.ndim == 0:
            return PartitionSpec()
        if path[0].key == "tables":
            return _table_spec(jax.tree_util.keystr(path, simple=True, separator="."), leaf, mesh)
        return spec(str(path[-1].key), leaf.shape, mesh)

    return jax.tree_util.tree_map_with_path(place, tree)


def shardings(tree: Any, mesh: jax.sharding.Mesh) -> Any:
    """A sharding for each array (or shape) of a training state. Raises ShardingError."""
    found = specs(tree, mesh.shape)
    return jax.tree.map(
        lambda each: NamedSharding(mesh, each) if each else replicated(mesh),
        found,
        is_leaf=lambda each: isinstance(each, PartitionSpec),
    )


def describe(tree: Any, mesh: Mapping[str, int]) -> Iterator[tuple[str, str, str, int]]:
    """(path, shape and dtype, spec, bytes per device) of each array of a training state."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    found = jax.tree.leaves(specs(tree, mesh), is_leaf=lambda x: isinstance(x, PartitionSpec))
    for (path, leaf), each in zip(leaves, found, strict=True):
        parts = math.prod(_parts(axis, mesh) for axis in each)
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        kind = f"{leaf.dtype}{list(leaf.shape)}"
        split = ", ".join("·".join(_names(axis)) or "–" for axis in each) or "replicated"
        yield name, kind, split, math.prod(leaf.shape) * leaf.dtype.itemsize // parts


def _table_spec(path: str, leaf: Any, mesh: Mapping[str, int]) -> PartitionSpec:
    devices = math.prod(mesh.values())
    if leaf.shape[0] % devices:
        raise ConfigError(
            f"{path} {leaf.shape} has {leaf.shape[0]} shards, which do not divide among the"
            f" {devices} devices of the mesh {dict(mesh)}; give a power of two of devices, or set"
            " the table's placement to replicated"
        )
    return TABLE


def _names(axis: Axes) -> tuple[str, ...]:
    return (axis,) if isinstance(axis, str) else axis or ()


def _parts(axis: Axes, mesh: Mapping[str, int]) -> int:
    return math.prod(mesh[name] for name in _names(axis))
