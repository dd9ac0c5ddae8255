"""A model's embedding tables on a mesh: which are split, and how their rows travel."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from podway.framework.devices.mesh import BATCH
from podway.framework.embedding import capacity, exchange
from podway.framework.embedding.lookup import Lookup
from podway.framework.embedding.table import Table
from podway.framework.error import check
from podway.framework.schema.schema import PADDING

REPLICATED_BYTES = 16 << 20
"""Largest table that every device holds, where the placement is left to us."""
TWO_HOP_FRACTION = 0.75
"""Two hops are taken, where that is left to us, if their buffers are less than this much of those
of one: each row then passes through the memory of one more device."""


@dataclasses.dataclass(frozen=True)
class TablePlan:
    """The tables of a model, and the devices that share them.

    Attributes:
      tables: by path.
      mesh: a sharded table's rows are split over all of its axes, in order.
      batch_axes: those that the examples are split over; over the others they are replicated.
      counts: how often the train split has each id, by table; without, the exchanges' buffers
        have room for as many distinct ids as there are ids (see framework/embedding/capacity.py).
    """

    tables: Mapping[str, Table]
    mesh: jax.sharding.Mesh
    batch_axes: tuple[str, ...] = BATCH[0]
    counts: Mapping[str, Int[np.ndarray, " head"]] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name, table in self.tables.items():
            check(
                table.options.placement != "sharded" or table.shards % self.mesh.size == 0,
                f"embedding.placement of {name} is sharded, but its {table.rows} rows have"
                f" {table.shards} shards, which {self.mesh.size} devices cannot share evenly; say"
                " replicated, or take a number of devices that is a power of two and not larger",
            )

    def sharded(self, name: str) -> bool:
        """Whether each device holds some rows of a table only."""
        each = self.tables[name]
        if self.mesh.size == 1 or each.options.placement == "replicated":
            return False
        if each.options.placement == "sharded":
            return True
        return each.bytes > REPLICATED_BYTES and each.shards % self.mesh.size == 0

    def spec(self, name: str) -> PartitionSpec:
        """Of a table and its slots."""
        return PartitionSpec(self.mesh.axis_names) if self.sharded(name) else PartitionSpec()

    def sharding(self, name: str) -> NamedSharding:
        """Of a table and its slots."""
        return NamedSharding(self.mesh, self.spec(name))

    def devices(self, axes: tuple[str, ...]) -> int:
        """Along these axes."""
        return math.prod(self.mesh.shape[axis] for axis in axes)

    @property
    def batch_devices(self) -> int:
        """Among which the examples are split."""
        return self.devices(self.batch_axes)

    @property
    def other_axes(self) -> tuple[str, ...]:
        """Over which the batch is replicated."""
        return tuple(axis for axis in self.mesh.axis_names if axis not in self.batch_axes)

    def sharers(self, lookup: Lookup) -> tuple[str, ...]:
        """Axes along which devices have the same ids of a lookup, and share the work on them."""
        if self.sharded(lookup.path):
            return self.mesh.axis_names if lookup.shared else self.other_axes
        return self.batch_axes if lookup.shared else ()

    def sizes(self, lookups: Mapping[str, Lookup]) -> dict[str, int]:
        """Ids, by table, that a device looks up itself."""
        found: dict[str, int] = {}
        for lookup in lookups.values():
            held = lookup.ids.size // (1 if lookup.shared else self.batch_devices)
            parts = self.devices(self.sharers(lookup))
            found[lookup.path] = found.get(lookup.path, 0) + -(-held // parts)
        return found


def number(table: Table, ids: Int[Array, " count"], owners: tuple[int, ...]) -> Array:
    """Ids as requests (framework/embedding/exchange.py) for hops with so many owners.

    The digits of a request are the owner's place in each hop's group, and at last the row among
    those of a device. The last hop's groups are made of neighbours in the outer, so that its digit
    is the owner's high one. PADDING, and what is no id, become `table.places`: no request.
    """
    shard, row = table.place(ids)
    held = table.shards // math.prod(owners)
    owner, shard = shard // held, shard % held
    digits = 0
    for count in owners:
        digits, owner = digits * count + owner % count, owner // count
    request = (digits * held + shard) * table.shard_rows + row
    real = (ids > PADDING) & (ids < table.rows)
    return jnp.where(real, request, table.places).astype(jnp.int32)


def exchanges(plan: TablePlan, lookups: Mapping[str, Lookup]) -> list[tuple[list[Any], list[str]]]:
    """The hops of each exchange, and the sharded tables that share it."""
    size, axes = plan.mesh.size, plan.mesh.axis_names
    inner = 1 << (size.bit_length() // 2)
    owners = {"all_to_all": (size,), "ragged": (size,), "two_hop": (inner, size // inner)}
    together: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, draws in plan.sizes(lookups).items():
        if plan.sharded(name):
            kind = plan.tables[name].options.exchange
            room = {each: _room(plan, name, draws, hops, each) for each, hops in owners.items()}
            if kind == "auto":
                direct, two = (
                    sum(count * most for count, most in zip(owners[each], room[each], strict=True))
                    for each in ("all_to_all", "two_hop")
                )
                kind = "two_hop" if two < TWO_HOP_FRACTION * direct else "all_to_all"
            together.setdefault(kind, {})[name] = room[kind]
    found = []
    for kind, room in sorted(together.items()):
        if kind == "ragged":
            most = {name: each[0] for name, each in room.items()}
            hops: list[Any] = [exchange.RaggedHop(axes, size, most)]
        else:
            hops = [
                exchange.Hop(axes, count, {name: each[at] for name, each in room.items()}, groups)
                for at, (count, groups) in enumerate(
                    zip(owners[kind], _groups(owners[kind]), strict=True)
                )
            ]
        found.append((hops, [*room]))
    return found


def _groups(owners: tuple[int, ...]) -> list[list[list[int]] | None]:
    """Devices that exchange with each other, by hop: neighbours first, then the groups of them."""
    if len(owners) == 1:
        return [None]
    inner, outer = owners
    devices = np.arange(inner * outer).reshape(outer, inner)
    return [devices.tolist(), devices.T.tolist()]


def _room(
    plan: TablePlan, name: str, draws: int, owners: tuple[int, ...], kind: str
) -> tuple[int, ...]:
    each = plan.tables[name]
    choose = capacity.arriving if kind == "ragged" else capacity.capacities
    return choose(draws, owners, each.rows, plan.counts.get(name), each.options.capacity_margin)
