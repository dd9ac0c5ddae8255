"""Loss and gradient of a batch, whole or in parts."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from podway.framework.devices.mesh import BATCH


class Part(NamedTuple):
    """Some of a batch's examples.

    Attributes:
      batch: {column: [examples, …]}.
      ids: of rows to look up, by name.
      values: of those that were looked up before, [*ids.shape, width].
    """

    batch: Mapping[str, Array]
    ids: Mapping[str, Array]
    values: Mapping[str, Array]


Loss = Callable[..., tuple[Float[Array, ""], Float[Array, ""], dict[str, Float[Array, ""]]]]
"""(trained, Part, key) → mean loss, its weight, metrics."""


def accumulate(
    loss: Loss,
    trained: Any,
    whole: Part,
    key: Array,
    *,
    parts: int,
    shared: frozenset[str],
    devices: jax.sharding.Mesh,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]], Any, dict[str, Array]]:
    """Mean loss and metrics of a batch, and the gradients of `trained` and of `whole.values`.

    Args:
      loss: of some of the batch's examples.
      trained: a pytree of arrays.
      whole: the batch.
      key: for dropout; each part gets another one.
      parts: computed one after the other; each device takes every `parts`-th of its own examples.
        The gradients are those of the mean over the whole batch, as the parts' means are weighted.
      shared: names of ids that belong to no example, and go into each part.
      devices: among which the examples are spread.
    """

    def one(part: Part, key: Array) -> Any:
        def with_auxiliary(trained: Any, values: Any) -> Any:
            mean, weight, metrics = loss(trained, part._replace(values=values), key)
            return mean, (weight, metrics)

        return jax.value_and_grad(with_auxiliary, argnums=(0, 1), has_aux=True)(
            trained, part.values
        )

    if parts == 1:
        (mean, (_, metrics)), (gradients, of_values) = one(whole, key)
        return mean, metrics, gradients, of_values

    common = Part({}, *(_named(each, shared) for each in (whole.ids, whole.values)))
    own = whole._replace(
        ids=_named(whole.ids, set(whole.ids) - shared),
        values=_named(whole.values, set(whole.values) - shared),
    )

    def add(totals: Any, index_and_part: Any) -> tuple[Any, Any]:
        index, part = index_and_part
        part = Part(part.batch, part.ids | common.ids, part.values | common.values)
        (mean, (weight, metrics)), gradients = one(part, jax.random.fold_in(key, index))
        mean, (gradients, of_values) = jax.tree.map(lambda each: each * weight, (mean, gradients))
        totals = jax.tree.map(jnp.add, totals, (mean, gradients, _named(of_values, shared), weight))
        return totals, (metrics, _named(of_values, own.values))

    zeros = jax.tree.map(jnp.zeros_like, (trained, common.values))
    (mean, gradients, of_common, weight), (metrics, of_own) = jax.lax.scan(
        add,
        (jnp.zeros(()), *zeros, jnp.zeros(())),
        (jnp.arange(parts), jax.tree.map(lambda x: _cut(x, parts, devices), own)),
    )
    of_values = jax.tree.map(lambda x: _join(x, devices), of_own) | of_common
    mean, gradients, of_values = jax.tree.map(
        lambda each: each / jnp.where(weight > 0, weight, 1.0), (mean, gradients, of_values)
    )
    return mean, jax.tree.map(lambda each: each.mean(0), metrics), gradients, of_values


def _named(arrays: Mapping[str, Array], names: Iterable[str]) -> dict[str, Array]:
    return {name: arrays[name] for name in arrays if name in names}


def _cut(x: Array, parts: int, devices: jax.sharding.Mesh) -> Array:
    """[batch, …] → [parts, batch / parts, …], with no example leaving its device."""
    x = jnp.moveaxis(x.reshape(x.shape[0] // parts, parts, *x.shape[1:]), 1, 0)
    return jax.lax.with_sharding_constraint(x, NamedSharding(devices, PartitionSpec(None, *BATCH)))


def _join(x: Array, devices: jax.sharding.Mesh) -> Array:
    """The inverse of `_cut`."""
    x = jnp.moveaxis(x, 0, 1).reshape(x.shape[0] * x.shape[1], *x.shape[2:])
    return jax.lax.with_sharding_constraint(x, NamedSharding(devices, BATCH))
