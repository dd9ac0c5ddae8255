"""Where each array of a training state lies: one table of rules.

Models know nothing of the mesh. A pattern of a parameter's path says along which axes its
dimensions are split; a path that no pattern matches, or a dimension that does not divide, is an
error that shows the table. The optimizer's moments and the moving average lie as their parameter
does. Where sparse embedding tables lie is their own plan's to say (framework/embedding/plan.py).
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from jax.sharding import PartitionSpec

from podway.framework.error import ConfigError

Axes = str | tuple[str, ...] | None
"""The mesh axes along which one dimension is split."""

RULES: tuple[tuple[str, tuple[Axes, ...] | None], ...] = (
    (r"(.*/)?constants/.*", None),
    (r"embeddings/.*/embedding", (("fsdp", "tensor"), None)),
    (r"experts/layers/\d+/kernel", (None, None, None)),
    (r"experts/layers/\d+/bias", (None, None)),
    (r"(bottom|top|deep|cross|gates|towers|answers?)/.*kernel", (None, None)),
    (r"(bottom|top|deep|cross|gates|towers|answers?)/.*bias", (None,)),
    (r"convolutions/\d+/kernel", (None, None, None, "fsdp")),
    (r"layers/(query|key|value|out)/kernel", (None, "tensor", None, "fsdp")),
    (r"layers/(gate|up)/kernel", (None, "fsdp", "tensor")),
    (r"layers/down/kernel", (None, "tensor", "fsdp")),
    (r"layers/.*norm/scale", (None, None)),
    (r"(.*/)?content/[^/]+/embedding", (None, None)),
    (r"(.*/)?position/embedding", (None, "fsdp")),
    (r"(.*/)?embedding", ("tensor", "fsdp")),
    (r"ranker/up/kernel", (None, "tensor")),
    (r"(.*/)?(qkv|uvqk|up)/kernel", ("fsdp", "tensor")),
    (r"(.*/)?(out|down)/kernel", ("tensor", "fsdp")),
    (r"(.*/)?kernel", ("fsdp", None)),
    (r"(.*/)?(qkv|up)/bias", ("tensor",)),
    (r"(.*/)?(bias|scale)", (None,)),
    (r"(ids|weights|similarity|gram)", ("fsdp", None)),
    (r"counts", (None,)),
)
"""Pattern of the whole parameter path → mesh axes of each dimension, None where each device holds
all of it, whatever its dimensions; the first match counts.
Tensor parallelism is that of Megatron-LM (Shoeybi et al. 2019, arXiv:1909.08053): a layer's first
product is split by its columns, its second by its rows. `layers` are stacked: their first dimension
is never split, as a scan takes one after the other. Models of rows (the next five rules) split
their tables by rows and keep their layers, which are small and of uneven widths, on every device
(Naumov et al. 2019, arXiv:1906.00091)."""


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
        if axes is None:
            return PartitionSpec()
        if len(axes) != len(shape):
            raise ShardingError(f"{path} {shape} has not the dimensions of its rule {axes}")
        for size, axis in zip(shape, axes, strict=True):
            parts = _parts(axis, mesh)
            if size % parts:
                raise ShardingError(f"{path} {shape}: mesh.{axis} = {parts} does not divide {size}")
        return PartitionSpec(*axes)
    raise ShardingError(f"no sharding rule matches the parameter {path} {shape}")


def specs(tree: Any, mesh: Mapping[str, int], tables: Mapping[str, PartitionSpec]) -> Any:
    """A PartitionSpec for each array (or shape) of a training state.

    Args:
      tree: the state.
      mesh: {axis: devices}.
      tables: of the sparse tables, by path; their slots lie likewise.

    Raises ShardingError.
    """

    def place(path: tuple[Any, ...], leaf: Any) -> PartitionSpec:
        if leaf.ndim == 0:
            return PartitionSpec()
        if path[0].key in ("tables", "slots"):
            return tables[path[1].key]
        return spec(str(path[-1].key), leaf.shape, mesh)

    return jax.tree_util.tree_map_with_path(place, tree)


@dataclasses.dataclass(frozen=True)
class Placed:
    """An array of a training state on a mesh.

    Attributes:
      path: "parameters.item/embedding".
      kind: dtype and shape.
      split: the mesh axes of each dimension.
      bytes: on one device.
    """

    path: str
    kind: str
    split: str
    bytes: int


def describe(tree: Any, specs: Any, mesh: Mapping[str, int]) -> Iterator[Placed]:
    """Each array (or shape) of a training state, placed by `specs` on a mesh {axis: devices}."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    places = jax.tree.leaves(specs, is_leaf=lambda each: isinstance(each, PartitionSpec))
    for (path, leaf), place in zip(leaves, places, strict=True):
        split = ", ".join("·".join(_names(axis)) or "–" for axis in place) or "replicated"
        yield Placed(
            jax.tree_util.keystr(path, simple=True, separator="."),
            f"{leaf.dtype}{list(leaf.shape)}",
            split,
            math.prod(leaf.shape)
            * leaf.dtype.itemsize
            // math.prod(_parts(axis, mesh) for axis in place),
        )


def _names(axis: Axes) -> tuple[str, ...]:
    return (axis,) if isinstance(axis, str) else axis or ()


def _parts(axis: Axes, mesh: Mapping[str, int]) -> int:
    return math.prod(mesh[name] for name in _names(axis))
