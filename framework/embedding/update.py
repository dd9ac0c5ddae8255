"""Embedding tables in training: rows are fetched before the loss, and updated after it.

    fetched = fetch(plan, tables, lookups)                      # outside autodiff
    loss, gradients = value_and_grad(loss)(fetched.rows, …)     # with respect to the rows
    collected = collect(plan, lookups, gradients, fetched.residual)
    tables, slots = update(plan, tables, slots, collected, scale=…, step=…)

All are pure functions; under `jax.jit` with tables and slots donated, the rows that a batch touched
are all that is read and written. Differentiating a lookup in place of this makes a gradient as
large as the table, an optimizer that visits every row, and, where the table is split among devices,
an exchange of the whole batch's rows by all devices.

Ids are 32-bit; PADDING (0) fetches zeros, gets no update, and takes no room in an exchange.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from podway.framework.embedding import exchange
from podway.framework.embedding.lookup import Lookup
from podway.framework.embedding.plan import TablePlan, exchanges, number
from podway.framework.error import check
from podway.framework.schema.schema import PADDING

Tables = Mapping[str, Array]
Slots = Mapping[str, Mapping[str, Array]]


class Fetched(NamedTuple):
    """What `fetch` returns.

    Attributes:
      rows: by lookup, [*ids, width], f32; split among devices as the ids.
      residual: for `collect`.
      metrics: `embedding/overflow`: ids that had no room in an exchange; `embedding/invalid`: ids
        outside their table; both read as zeros and get no update, so training should stop at the
        first. `embedding/fill`: the fullest buffer of an exchange, as a fraction of its size.
    """

    rows: dict[str, Float[Array, "*ids width"]]
    residual: Any
    metrics: dict[str, Float[Array, ""]]


class Collected(NamedTuple):
    """Gradients where their rows lie, by table, each row's summed over all that read it.

    Attributes:
      touched: numbers of the rows, rising, and beyond the last row; or, where gradients has a
        place for each row of the table, whether it was touched.
      gradients: [touched, width], f32.
      squared_norm: of all of them together: the tables' part in a global norm of gradients.
    """

    touched: dict[str, Array]
    gradients: dict[str, Float[Array, "touched width"]]
    squared_norm: Float[Array, ""]


def fetch(plan: TablePlan, tables: Tables, lookups: Mapping[str, Lookup]) -> Fetched:
    """The rows that ids name. Not to be differentiated.

    Raises ConfigError where the devices cannot share the examples evenly.
    """
    for name, lookup in lookups.items():
        check(
            lookup.shared or lookup.ids.shape[0] % plan.batch_devices == 0,
            f"the lookup {name} has {lookup.ids.shape[0]} examples, which the mesh's"
            f" {plan.batch_devices} devices cannot share evenly; give a multiple",
        )

    def body(tables: Tables, ids: Mapping[str, Array]) -> Any:
        flat = {name: array.reshape(-1) for name, array in ids.items()}
        parts = _by_table(plan, lookups, flat)
        rows, local, remote, loads, invalid = {}, {}, [], [], jnp.zeros((), jnp.int32)
        for path, part in parts.items():
            strange = ((part < 0) | (part >= plan.tables[path].rows)).sum(dtype=jnp.int32)
            axes = plan.mesh.axis_names if plan.sharded(path) else plan.batch_axes
            invalid += jax.lax.psum(strange, axes)
            if not plan.sharded(path):
                local[path] = number(plan.tables[path], part, (1,))
                for name in _of(lookups, path):
                    numbers = number(plan.tables[path], flat[name], (1,))
                    rows[name] = _read(tables[path], numbers)
        for hops, paths in exchanges(plan, lookups):
            owners = tuple(hop.owners for hop in hops)
            asked = {path: number(plan.tables[path], parts[path], owners) for path in paths}
            span = {path: plan.tables[path].places for path in paths}
            slots = []
            for hop in hops:
                span = {path: size // hop.owners for path, size in span.items()}
                asked, slot, load = hop.ask(asked, span)
                slots.append(slot)
                loads.append(load)
            found = {path: _read(tables[path], each) for path, each in asked.items()}
            for hop, slot in zip(reversed(hops), reversed(slots), strict=True):
                found = hop.answer(found, slot)
            for path in paths:
                sizes = {name: len(flat[name]) for name in _of(lookups, path)}
                rows |= _by_lookup(plan, lookups, found[path], sizes)
            remote.append((asked, slots))
        load = exchange.Load.join(loads)
        metrics = {
            "embedding/overflow": jax.lax.psum(load.overflow, plan.mesh.axis_names),
            "embedding/invalid": invalid,
            "embedding/fill": jax.lax.pmax(load.fill, plan.mesh.axis_names),
        }
        shaped = {name: values.reshape(*ids[name].shape, -1) for name, values in rows.items()}
        return shaped, (local, remote), metrics

    place = _specs(plan, lookups)
    mapped = _shard_map(
        plan,
        body,
        in_specs=({path: plan.spec(path) for path in plan.sizes(lookups)}, place.lookups),
        out_specs=(place.lookups, place.residual, PartitionSpec()),
    )
    return Fetched(
        *mapped(
            {path: tables[path] for path in plan.sizes(lookups)},
            {name: lookup.ids for name, lookup in lookups.items()},
        )
    )


def collect(
    plan: TablePlan,
    lookups: Mapping[str, Lookup],
    gradients: Mapping[str, Float[Array, "*shape width"]],
    residual: Any,
) -> Collected:
    """Takes the gradients of fetched rows to where the rows lie, and sums them by row."""

    def body(gradients: Mapping[str, Array], residual: Any) -> Any:
        local, remote = residual
        touched, sums, squared = {}, {}, jnp.zeros(())
        flat = {
            name: gradient.reshape(-1, gradient.shape[-1]).astype(jnp.float32)
            for name, gradient in gradients.items()
        }
        parts = _by_table(plan, lookups, flat)
        for path, numbers in local.items():
            touched[path], sums[path] = _sum_over_batch(plan, path, numbers, parts[path])
            squared += jnp.sum(jnp.square(sums[path]))
        owned = jnp.zeros(())
        for (hops, paths), (asked, slots) in zip(exchanges(plan, lookups), remote, strict=True):
            moved = {path: parts[path] for path in paths}
            for hop, slot in zip(hops, slots, strict=True):
                moved = hop.collect(moved, slot)
            for path in paths:
                span = plan.tables[path].places // plan.mesh.size
                touched[path], sums[path] = exchange.merge(asked[path], moved[path], span)
                owned += jnp.sum(jnp.square(sums[path]))
        return touched, sums, squared + jax.lax.psum(owned, plan.mesh.axis_names)

    place = _specs(plan, lookups)
    specs = {path: plan.spec(path) for path in plan.sizes(lookups)}
    mapped = _shard_map(
        plan,
        body,
        in_specs=(place.lookups, place.residual),
        out_specs=(specs, specs, PartitionSpec()),
    )
    return Collected(*mapped(dict(gradients), residual))


def update(
    plan: TablePlan,
    tables: Tables,
    slots: Slots,
    collected: Collected,
    *,
    step: Int[Array, ""] | int,
    scale: Float[Array, ""] | float = 1.0,
    factor: Float[Array, ""] | float = 1.0,
) -> tuple[dict[str, Array], dict[str, dict[str, Array]]]:
    """The tables and slots after a step; tables that no gradient came for are unchanged.

    Args:
      step: steps done before this one.
      scale: multiplies the gradients; what clipping by a global norm makes of them.
      factor: multiplies the learning rates; a schedule's value as a fraction of its peak.
    """

    def body(tables: Tables, slots: Slots, touched: Any, gradients: Any, numbers: Any) -> Any:
        step, scale, factor = numbers
        new_tables, new_slots = {}, {}
        for name, at in touched.items():
            optimizer = plan.tables[name].options.optimizer
            stored = {"rows": tables[name], **slots[name]}
            dense = at.dtype == bool
            held = {k: (_flat(v) if dense else _read(v, at)) for k, v in stored.items()}
            if on_gpu and not dense:
                # Its compiler would fuse these reads into the writes below, which then are no
                # longer in place: the whole table would be copied, twice.
                held = jax.lax.optimization_barrier(held)
            rows = held.pop("rows")
            new, kept = optimizer.update(rows, held, gradients[name] * scale, step, factor)
            write = _where if dense else _write
            new_tables[name] = write(tables[name], at, new)
            new_slots[name] = {k: write(slots[name][k], at, v) for k, v in kept.items()}
        return new_tables, new_slots

    on_gpu = plan.mesh.devices.flat[0].platform == "gpu"
    names = [*collected.touched]
    specs = {name: plan.spec(name) for name in names}
    mapped = _shard_map(
        plan,
        body,
        in_specs=(specs, specs, specs, specs, PartitionSpec()),
        out_specs=(specs, specs),
    )
    new_tables, new_slots = mapped(
        {name: tables[name] for name in names},
        {name: dict(slots[name]) for name in names},
        collected.touched,
        collected.gradients,
        (jnp.asarray(step), jnp.asarray(scale), jnp.asarray(factor)),
    )
    rest = {name: dict(arrays) for name, arrays in slots.items()}
    return {**tables, **new_tables}, {**rest, **new_slots}


def combine(
    rows: Float[Array, "*batch list width"],
    ids: Int[Array, "*batch list"],
    combiner: Literal["sum", "mean"],
) -> Float[Array, "*batch width"]:
    """One row for each list of ids, PADDING left out; zeros for an empty list.

    For use inside the loss; differentiable with respect to the rows.
    """
    total = rows.sum(-2)  # those of PADDING are zeros
    if combiner == "sum":
        return total
    count = (ids != PADDING).sum(-1, keepdims=True)
    return total / jnp.maximum(count, 1).astype(rows.dtype)


class _Specs(NamedTuple):
    lookups: dict[str, PartitionSpec]
    residual: tuple[PartitionSpec, PartitionSpec]


def _specs(plan: TablePlan, lookups: Mapping[str, Lookup]) -> _Specs:
    batch, whole = PartitionSpec(plan.batch_axes), PartitionSpec(plan.mesh.axis_names)
    return _Specs(
        {name: PartitionSpec() if lookup.shared else batch for name, lookup in lookups.items()},
        (batch, whole),
    )


def _shard_map(plan: TablePlan, body: Any, in_specs: Any, out_specs: Any) -> Any:
    # What is replicated comes out so by construction; JAX cannot tell after an all_gather.
    return jax.shard_map(
        body, mesh=plan.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )


def _of(lookups: Mapping[str, Lookup], path: str) -> list[str]:
    """The lookups in a table, in the order in which their ids are joined."""
    return sorted(name for name, lookup in lookups.items() if lookup.path == path)


def _by_table(
    plan: TablePlan, lookups: Mapping[str, Lookup], arrays: Mapping[str, Array]
) -> dict[str, Array]:
    """What this device does of each lookup's ids (or gradients), joined by table."""
    found = {}
    for path in plan.sizes(lookups):
        parts = []
        for name in _of(lookups, path):
            array, axes = arrays[name], plan.sharers(lookups[name])
            count = plan.devices(axes)
            size = -(-len(array) // count)
            spare = [(0, count * size - len(array))] + [(0, 0)] * (array.ndim - 1)
            if count > 1:
                start = jax.lax.axis_index(axes) * size
                array = jax.lax.dynamic_slice_in_dim(jnp.pad(array, spare), start, size)
            parts.append(array)
        found[path] = jnp.concatenate(parts)
    return found


def _by_lookup(
    plan: TablePlan, lookups: Mapping[str, Lookup], rows: Array, sizes: Mapping[str, int]
) -> dict[str, Array]:
    """The inverse of `_by_table`, of one table's rows."""
    found, at = {}, 0
    for name, size in sizes.items():
        axes = plan.sharers(lookups[name])
        count = plan.devices(axes)
        part = -(-size // count)
        own = rows[at : at + part]
        found[name] = jax.lax.all_gather(own, axes, tiled=True)[:size] if count > 1 else own
        at += part
    return found


def _sum_over_batch(
    plan: TablePlan, name: str, numbers: Array, gradients: Array
) -> tuple[Any, Any]:
    """Gradients of a table that every device has: whichever moves less, gathered or added up."""
    places = plan.tables[name].places
    if plan.batch_devices > 1:
        if plan.batch_devices * len(numbers) > places:
            sums = jax.lax.psum(exchange.add(places, numbers, gradients), plan.batch_axes)
            mark = jnp.zeros(places, jnp.int32).at[numbers].set(1, mode="drop")
            return jax.lax.psum(mark, plan.batch_axes) > 0, sums
        numbers, gradients = (
            jax.lax.all_gather(array, plan.batch_axes, tiled=True) for array in (numbers, gradients)
        )
    return exchange.merge(numbers, gradients, places)


def _read(array: Array, numbers: Int[Array, " count"]) -> Array:
    """Rows of a device's part of a table or slot by their number; zeros beyond the last."""
    return exchange.read(_flat(array), numbers)


def _write(array: Array, numbers: Int[Array, " count"], rows: Array) -> Array:
    """The part with these rows, numbered in rising order and each once."""
    flat = (
        _flat(array)
        .at[numbers]
        .set(rows, mode="drop", unique_indices=True, indices_are_sorted=True)
    )
    return flat.reshape(array.shape)


def _where(array: Array, touched: Array, rows: Array) -> Array:
    """The part with these of all rows."""
    flat = _flat(array)
    mask = touched if flat.ndim == 1 else touched[:, None]
    return jnp.where(mask, rows, flat).reshape(array.shape)


def _flat(array: Array) -> Array:
    # By one number: a TPU's compiler copies the table where it is indexed by shard and row.
    return array if array.ndim == 1 else array.reshape(-1, array.shape[-1])
