"""Where each array of a training state lies: the model's own rules, then general ones.

A pattern of a parameter's path says along which mesh axes its dimensions are split. A model brings
rules of its own (config.Model.sharding_rules), which are tried first; what no rule names lies whole
on each device. A dimension that does not divide is an error that shows the rules. The optimizer's
moments and the moving average lie as their parameter does; a moment that sums up one dimension of
it, as the others of it do. Where sparse embedding tables lie is their own plan's to say
(framework/embedding/plan.py).
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from jax.sharding import PartitionSpec

from podway.framework.config.model import Axes, ShardingRules
from podway.framework.error import ConfigError

GENERAL: ShardingRules = (
    (r"(.*/)?constants/.*", None),
    (r"(.*/)?position/embedding", (None, "fsdp")),
    (r"(.*/)?embedding", ("tensor", "fsdp")),
    (r"(.*/)?(qkv|up)/kernel", ("fsdp", "tensor")),
    (r"(.*/)?(out|down)/kernel", ("tensor", "fsdp")),
    (r"(.*/)?kernel", ("fsdp", None)),
    (r"(.*/)?(qkv|up)/bias", ("tensor",)),
    (r"(.*/)?(bias|scale)", (None,)),
)
"""Rules for names that many modules give their parameters; each is of arrays of as many dimensions
as it has axes. Tensor parallelism is that of Megatron-LM (Shoeybi et al. 2019, arXiv:1909.08053): a
layer's first product is split by its columns, its second by its rows."""

UNNAMED = "no rule"
"""Remark on a parameter that no rule names."""


class ShardingError(ConfigError):
    """A parameter that its rule cannot place; the message ends with the rules."""

    def __init__(self, message: str, own: ShardingRules):
        table = "\n".join(f"  {pattern:36} → {axes}" for pattern, axes in (*own, *GENERAL))
        super().__init__(f"{message}; the rules are\n{table}")


def rule(path: str, dimensions: int, own: ShardingRules) -> PartitionSpec | None:
    """What the first rule that names a parameter says of its dimensions; None: no rule does."""
    for pattern, axes in own:
        if re.fullmatch(pattern, path):
            return PartitionSpec(*axes or ())
    for pattern, axes in GENERAL:
        if re.fullmatch(pattern, path) and (axes is None or len(axes) == dimensions):
            return PartitionSpec(*axes or ())
    return None


def spec(
    path: str, shape: tuple[int, ...], mesh: Mapping[str, int], own: ShardingRules = ()
) -> PartitionSpec:
    """The PartitionSpec of one parameter of a model on a mesh {axis: devices}.

    Raises ShardingError: a dimension does not divide, or the model's own rule has other dimensions.
    """
    axes = rule(path, len(shape), own) or PartitionSpec()
    if axes and len(axes) != len(shape):
        raise ShardingError(f"{path} {shape} has not the dimensions of its rule {axes}", own)
    for size, axis in zip(shape, axes, strict=False):
        parts = _parts(axis, mesh)
        if size % parts:
            message = f"{path} {shape}: mesh.{axis} = {parts} does not divide {size}"
            raise ShardingError(message, own)
    return axes


def specs(
    tree: Any,
    mesh: Mapping[str, int],
    tables: Mapping[str, PartitionSpec],
    own: ShardingRules = (),
) -> Any:
    """A PartitionSpec for each array (or shape) of a training state.

    Args:
      tree: the state.
      mesh: {axis: devices}.
      tables: of the sparse tables, by path; their slots lie likewise.
      own: rules that the model brings.

    Raises ShardingError.
    """
    parameters = tree["parameters"]

    def place(path: tuple[Any, ...], leaf: Any) -> PartitionSpec:
        if leaf.ndim == 0:
            return PartitionSpec()
        if path[0].key in ("tables", "slots"):
            return tables[path[1].key]
        if (name := _parameter(path)) not in parameters:
            return PartitionSpec()
        shape = tuple(parameters[name].shape)
        whole = spec(name, shape, mesh, own)
        return whole if leaf.shape == shape else _without(whole, shape, tuple(leaf.shape))

    return jax.tree_util.tree_map_with_path(place, tree)


def _parameter(path: tuple[Any, ...]) -> str:
    """The parameter that a leaf of a state belongs to: the key that it ends with; "": to none.

    What an optimizer keeps once has a name there, not a key.
    """
    return str(getattr(path[-1], "key", ""))


def _without(axes: PartitionSpec, shape: tuple[int, ...], found: tuple[int, ...]) -> PartitionSpec:
    """Where the sums along one dimension of a parameter lie, of which the others are found.

    Whole on each device if it is not clear which dimension it was, or is of other shape.
    """
    padded = (*axes, *[None] * (len(shape) - len(axes)))
    places = {
        (*padded[:at], *padded[at + 1 :])
        for at in range(len(shape))
        if (*shape[:at], *shape[at + 1 :]) == found
    }
    return PartitionSpec(*places.pop()) if len(places) == 1 else PartitionSpec()


@dataclasses.dataclass(frozen=True)
class Placed:
    """An array of a training state on a mesh.

    Attributes:
      path: "parameters.item/embedding".
      kind: dtype and shape.
      split: the mesh axes of each dimension.
      bytes: on one device.
      remark: UNNAMED where no rule names it; else "".
    """

    path: str
    kind: str
    split: str
    bytes: int
    remark: str = ""


def describe(
    tree: Any, specs: Any, mesh: Mapping[str, int], own: ShardingRules = ()
) -> Iterator[Placed]:
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
            _remark(path, leaf, tree["parameters"], own),
        )


def _remark(
    path: tuple[Any, ...], leaf: Any, parameters: Mapping[str, Any], own: ShardingRules
) -> str:
    name = _parameter(path)
    if leaf.ndim == 0 or path[0].key in ("tables", "slots") or name not in parameters:
        return ""
    return UNNAMED if rule(name, parameters[name].ndim, own) is None else ""


def _names(axis: Axes) -> tuple[str, ...]:
    return (axis,) if isinstance(axis, str) else axis or ()


def _parts(axis: Axes, mesh: Mapping[str, int]) -> int:
    return math.prod(mesh[name] for name in _names(axis))
