"""Embedding tables in training: rows are fetched before the loss, and updated after it.

    fetched = fetch(plan, tables, ids)                          # outside autodiff
    loss, gradients = value_and_grad(loss)(fetched.rows, …)     # with respect to the rows
    collected = collect(plan, gradients, fetched.residual)      # to the devices that hold the rows
    tables, slots = update(plan, tables, slots, collected, scale=…, step=…)

All are pure functions; under `jax.jit` with tables and slots donated, the rows that a batch touched
are all that is read and written. Differentiating a lookup in place of this makes a gradient as
large as the table, an optimizer that visits every row, and, where the table is split among devices,
an exchange of the whole batch's rows by all devices.

Ids are 32-bit; PADDING (0) fetches zeros, gets no update, and takes no room in an exchange.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from framework import exchange
from framework.error import check
from framework.lookup import Plan, exchanges, number
from framework.schema import PADDING

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


def fetch(plan: Plan, tables: Tables, ids: Mapping[str, Int[Array, "*shape"]]) -> Fetched:
    """The rows that ids name. Not to be differentiated."""
    for name, each in ids.items():
        check(
            each.shape[0] % plan.batch_devices == 0,
            f"the lookup {name} has {each.shape[0]} examples, which the mesh's"
            f" {plan.batch_devices} devices cannot share evenly; give a multiple",
        )

    def body(tables: Tables, ids: Mapping[str, Array]) -> Any:
        rows, local, remote, loads = {}, {}, [], []
        wanted = _join(plan, {name: each.reshape(-1) for name, each in ids.items()})
        invalid = [
            ((each < 0) | (each >= plan.tables[name].rows)).sum(dtype=jnp.int32)
            for name, each in wanted.items()
        ]
        for name, each in wanted.items():
            if not plan.sharded(name):
                local[name] = number(plan.tables[name], each, (1,))
                rows[name] = _read(tables[name], local[name])
        for hops, names in exchanges(plan, {name: len(each) for name, each in wanted.items()}):
            owners = tuple(hop.owners for hop in hops)
            span = {name: plan.tables[name].places for name in names}
            asked = {
                name: number(plan.tables[name], _own_part(plan, wanted[name]), owners)
                for name in names
            }
            slots = []
            for hop in hops:
                span = {name: each // hop.owners for name, each in span.items()}
                asked, slot, load = hop.ask(asked, span)
                slots.append(slot)
                loads.append(load)
            found = {name: _read(tables[name], each) for name, each in asked.items()}
            for hop, slot in zip(reversed(hops), reversed(slots), strict=True):
                found = hop.answer(found, slot)
            rows |= {name: _all_parts(plan, found[name], len(wanted[name])) for name in names}
            remote.append((asked, slots))
        load = exchange.Load.join(loads)
        metrics = {
            "embedding/overflow": jax.lax.psum(load.overflow, plan.mesh.axis_names),
            "embedding/invalid": jax.lax.psum(sum(invalid), plan.batch_axes),
            "embedding/fill": jax.lax.pmax(load.fill, plan.mesh.axis_names),
        }
        parts = _split(plan, rows, {name: each.size for name, each in ids.items()})
        shaped = {name: part.reshape(*ids[name].shape, -1) for name, part in parts.items()}
        return shaped, (local, remote), metrics

    batch, whole = PartitionSpec(plan.batch_axes), PartitionSpec(plan.mesh.axis_names)
    mapped = _shard_map(
        plan,
        body,
        in_specs=({name: plan.spec(name) for name in tables}, batch),
        out_specs=(batch, (batch, whole), PartitionSpec()),
    )
    return Fetched(*mapped(dict(tables), dict(ids)))


def collect(
    plan: Plan, gradients: Mapping[str, Float[Array, "*shape width"]], residual: Any
) -> Collected:
    """Takes the gradients of fetched rows to where the rows lie, and sums them by row."""

    def body(gradients: Mapping[str, Array], residual: Any) -> Any:
        local, remote = residual
        touched, sums, squared = {}, {}, jnp.zeros(())
        flat = {
            name: each.reshape(-1, each.shape[-1]).astype(jnp.float32)
            for name, each in gradients.items()
        }
        joined = _join(plan, flat)
        for name, numbers in local.items():
            touched[name], sums[name] = _sum_over_batch(plan, name, numbers, joined[name])
            squared += jnp.sum(jnp.square(sums[name]))
        owned = jnp.zeros(())
        sizes = {name: len(each) for name, each in joined.items()}
        for (hops, names), (asked, slots) in zip(exchanges(plan, sizes), remote, strict=True):
            parts = {name: _own_part(plan, joined[name]) for name in names}
            for hop, slot in zip(hops, slots, strict=True):
                parts = hop.collect(parts, slot)
            for name in names:
                span = plan.tables[name].places // plan.mesh.size
                touched[name], sums[name] = exchange.merge(asked[name], parts[name], span)
                owned += jnp.sum(jnp.square(sums[name]))
        return touched, sums, squared + jax.lax.psum(owned, plan.mesh.axis_names)

    batch, whole = PartitionSpec(plan.batch_axes), PartitionSpec(plan.mesh.axis_names)
    names = {plan.lookups[name].table for name in gradients}
    specs = {name: plan.spec(name) for name in names}
    mapped = _shard_map(
        plan,
        body,
        in_specs=(batch, (batch, whole)),
        out_specs=(specs, specs, PartitionSpec()),
    )
    return Collected(*mapped(dict(gradients), residual))


def update(
    plan: Plan,
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
            rows = held.pop("rows")
            new, kept = optimizer.update(rows, held, gradients[name] * scale, step, factor)
            write = _where if dense else _write
            new_tables[name] = write(tables[name], at, new)
            new_slots[name] = {k: write(slots[name][k], at, v) for k, v in kept.items()}
        return new_tables, new_slots

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
    rest = {name: dict(each) for name, each in slots.items()}
    return {**tables, **new_tables}, {**rest, **new_slots}


def combine(
    plan: Plan,
    rows: Mapping[str, Float[Array, "*shape width"]],
    ids: Mapping[str, Int[Array, "*shape"]],
) -> dict[str, Array]:
    """Each lookup's rows as its combiner says; for use inside the loss, differentiable."""
    combined = {}
    for name, each in rows.items():
        combiner = plan.lookups[name].combiner
        if combiner != "none":
            each = each.sum(-2)  # those of PADDING are zeros
        if combiner == "mean":
            count = (ids[name] != PADDING).sum(-1, keepdims=True)
            each = each / jnp.maximum(count, 1).astype(each.dtype)
        combined[name] = each
    return combined


def _shard_map(plan: Plan, body: Any, in_specs: Any, out_specs: Any) -> Any:
    # What is replicated comes out so by construction; JAX cannot tell after an all_gather.
    return jax.shard_map(
        body, mesh=plan.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )


def _join(plan: Plan, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays by lookup → by table, one after another."""
    tables = {plan.lookups[name].table: None for name in sorted(arrays)}
    return {
        table: jnp.concatenate(
            [arrays[n] for n in sorted(arrays) if plan.lookups[n].table == table]
        )
        for table in tables
    }


def _split(plan: Plan, rows: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[str, Array]:
    """The inverse of `_join`."""
    parts, at = {}, dict.fromkeys(rows, 0)
    for name in sorted(sizes):
        table, size = plan.lookups[name].table, sizes[name]
        parts[name] = rows[table][at[table] : at[table] + size]
        at[table] += size
    return parts


def _own_part(plan: Plan, array: Array) -> Array:
    """What this device does of its examples' ids (or gradients)."""
    parts = plan.sharers
    if parts == 1:
        return array
    size = -(-len(array) // parts)
    padded = jnp.pad(array, [(0, parts * size - len(array))] + [(0, 0)] * (array.ndim - 1))
    start = jax.lax.axis_index(plan.other_axes) * size
    return jax.lax.dynamic_slice_in_dim(padded, start, size)


def _all_parts(plan: Plan, rows: Array, size: int) -> Array:
    """The inverse of `_own_part`."""
    if plan.sharers == 1:
        return rows
    return jax.lax.all_gather(rows, plan.other_axes, tiled=True)[:size]


def _sum_over_batch(plan: Plan, name: str, numbers: Array, gradients: Array) -> tuple[Any, Any]:
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


def _place(array: Array, numbers: Array) -> tuple[Array, Array]:
    return numbers // array.shape[1], numbers % array.shape[1]


def _read(array: Array, numbers: Int[Array, " count"]) -> Array:
    """Rows of a device's part [shards, rows, …] by their number; zeros beyond the last."""
    return array.at[_place(array, numbers)].get(mode="fill", fill_value=0)


def _write(array: Array, numbers: Int[Array, " count"], rows: Array) -> Array:
    """The part with these rows, numbered in rising order and each once."""
    return array.at[_place(array, numbers)].set(
        rows, mode="drop", unique_indices=True, indices_are_sorted=True
    )


def _flat(array: Array) -> Array:
    return array.reshape(-1, *array.shape[2:])


def _where(array: Array, touched: Array, rows: Array) -> Array:
    mask = touched.reshape(*array.shape[:2], *(1 for _ in array.shape[2:]))
    return jnp.where(mask, rows.reshape(array.shape), array)
