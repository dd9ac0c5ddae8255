"""How devices ask one another for embedding rows: functions of one device, for `jax.shard_map`.

A device has *requests*, numbers below `owners · span`: request r goes to the owner r // span, which
finds it under r % span; larger numbers are no request. A hop takes requests to owners, each
distinct one once, in buffers of a fixed size; rows come back by the same way, and gradients follow
the requests later, without their ids, as the owner remembers what it was asked for.

An exchange is one hop, or two: then the first goes to the device that shares the owner's place in
its group, which asks on behalf of all that asked it. A buffer of an exchange among thousands of
devices holds few ids each, and is mostly spare room; two hops need buffers for the square root of
that many. Several tables share the messages of an exchange.

Sorting makes the requests distinct: without it, a frequent id would fill its owner's buffer with
copies of itself.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Requests = dict[str, Int[Array, " count"]]
RowsByTable = dict[str, Float[Array, "count width"]]


class Load(NamedTuple):
    """How full an exchange's buffers are.

    Attributes:
      overflow: distinct requests that did not fit and were dropped.
      fill: the fullest buffer, as a fraction of its size.
    """

    overflow: Int[Array, ""]
    fill: Float[Array, ""]

    @staticmethod
    def join(loads: Sequence["Load"]) -> "Load":
        """Of several buffers."""
        return Load(
            sum((load.overflow for load in loads), jnp.zeros((), jnp.int32)),
            functools.reduce(jnp.maximum, [load.fill for load in loads], jnp.zeros(())),
        )


@dataclasses.dataclass(frozen=True)
class Hop:
    """One all-to-all with buffers of fixed size.

    Attributes:
      axes: of the mesh, all of them.
      owners: devices that exchange with each other.
      capacity: distinct requests that a device can send to each owner, by table.
      groups: which devices do, by their number along `axes`; None: all.
    """

    axes: tuple[str, ...]
    owners: int
    capacity: dict[str, int]
    groups: list[list[int]] | None = None

    def ask(self, requests: Requests, span: dict[str, int]) -> tuple[Requests, Any, Load]:
        """Takes requests to owners.

        Returns what this device is asked for, below `span` of the table (or `span` itself for
        nothing); what `answer` and `collect` need to retrace the way; and the buffers' load.
        """
        buffers, slots, loads = {}, {}, []
        for name, request in requests.items():
            buffers[name], slots[name], load = bucket(
                request, span[name], self.owners, self.capacity[name]
            )
            loads.append(load)
        return self._exchange(buffers), slots, Load.join(loads)

    def answer(self, rows: RowsByTable, slots: Any) -> RowsByTable:
        """Takes rows back to those that asked; zeros where nothing was requested."""
        arrived = self._exchange(rows)
        return {name: read(arrived[name], slot) for name, slot in slots.items()}

    def collect(self, gradients: RowsByTable, slots: Any) -> RowsByTable:
        """Takes gradients of the answered rows to the owners, those of equal requests summed."""
        return self._exchange(
            {
                name: add(self.owners * self.capacity[name], slot, gradients[name])
                for name, slot in slots.items()
            }
        )

    def _exchange(self, buffers: dict[str, Array]) -> dict[str, Array]:
        """Buffers [owners · capacity, …], one after another; alike ones in one message."""
        arrived = {}
        alike: dict[Any, list[str]] = {}
        for name, array in buffers.items():
            alike.setdefault((array.dtype, array.shape[1:]), []).append(name)
        for names in alike.values():
            parts = [
                buffers[name].reshape(self.owners, -1, *buffers[name].shape[1:]) for name in names
            ]
            message = jax.lax.all_to_all(
                jnp.concatenate(parts, axis=1),
                self.axes,
                split_axis=0,
                concat_axis=0,
                axis_index_groups=self.groups,
                tiled=True,
            )
            at = 0
            for name, part in zip(names, parts, strict=True):
                received = message[:, at : at + part.shape[1]]
                arrived[name] = received.reshape(buffers[name].shape)
                at += part.shape[1]
        return arrived


@dataclasses.dataclass(frozen=True)
class RaggedHop:
    """One all-to-all among all devices that sends what there is, and no padding.

    As Hop, but `capacity` is of all distinct requests that arrive at a device, by table.
    """

    axes: tuple[str, ...]
    owners: int
    capacity: dict[str, int]

    def ask(self, requests: Requests, span: dict[str, int]) -> tuple[Requests, Any, Load]:
        """As Hop.ask."""
        arrived, trails, loads = {}, {}, []
        for name, request in requests.items():
            capacity, wanted = self.capacity[name], distinct(request, span[name], self.owners)
            real = wanted.first & (wanted.owner < self.owners)
            sizes = jnp.zeros(self.owners, jnp.int32).at[wanted.owner].add(real, mode="drop")
            starts = jnp.cumsum(sizes) - sizes
            incoming = self._swap(sizes)
            places = jnp.cumsum(incoming) - incoming
            received = jnp.clip(capacity - places, 0, incoming)
            places = jnp.minimum(places, capacity)
            sent = self._swap(received)
            away = Trip(starts, sent, self._swap(places), received)
            back = Trip(places, received, self._swap(starts), sent)
            index = jnp.where(real, wanted.index, len(request))
            message = (
                jnp.zeros_like(request).at[index].set(wanted.ordered % span[name], mode="drop")
            )
            arrived[name] = self._send(message, jnp.full(capacity, span[name]), away)
            kept = wanted.rank < sent.at[wanted.owner].get(mode="fill", fill_value=0)
            slot = wanted.scatter(jnp.where(kept, wanted.index, len(request)))
            trails[name] = (slot, away, back)
            loads.append(Load((sizes - sent).sum(), incoming.sum() / capacity))
        return arrived, trails, Load.join(loads)

    def answer(self, rows: RowsByTable, trails: Any) -> RowsByTable:
        """As Hop.answer."""
        answers = {}
        for name, (slot, _, back) in trails.items():
            empty = jnp.zeros((len(slot), rows[name].shape[1]), rows[name].dtype)
            answers[name] = read(self._send(rows[name], empty, back), slot)
        return answers

    def collect(self, gradients: RowsByTable, trails: Any) -> RowsByTable:
        """As Hop.collect."""
        arrived = {}
        for name, (slot, away, _) in trails.items():
            sums = add(len(slot), slot, gradients[name])
            empty = jnp.zeros((self.capacity[name], sums.shape[1]), sums.dtype)
            arrived[name] = self._send(sums, empty, away)
        return arrived

    def _swap(self, values: Int[Array, " owners"]) -> Int[Array, " owners"]:
        return jax.lax.all_to_all(values, self.axes, 0, 0, tiled=True)

    def _send(self, operand: Array, output: Array, trip: "Trip") -> Array:
        return jax.lax.ragged_all_to_all(
            operand, output, trip.starts, trip.sent, trip.places, trip.received, axis_name=self.axes
        )


class Trip(NamedTuple):
    """Offsets and sizes of a ragged exchange, by the other device."""

    starts: Int[Array, " owners"]
    sent: Int[Array, " owners"]
    places: Int[Array, " owners"]
    received: Int[Array, " owners"]


class Distinct(NamedTuple):
    """Requests in rising order.

    Attributes:
      ordered: the requests.
      order: where each stood.
      first: whether it is the first of equal ones.
      index: how many distinct ones stand before it.
      owner: whom it goes to; `owners` where there is no request.
      rank: how many distinct ones of the same owner stand before it.
    """

    ordered: Int[Array, " count"]
    order: Int[Array, " count"]
    first: Array
    index: Int[Array, " count"]
    owner: Int[Array, " count"]
    rank: Int[Array, " count"]

    def scatter(self, values: Array) -> Array:
        """Values in the order that the requests had."""
        return jnp.zeros_like(values).at[self.order].set(values, unique_indices=True)


def distinct(requests: Int[Array, " count"], span: int, owners: int) -> Distinct:
    """Sorts requests and numbers the distinct ones, over all and by owner."""
    ordered, order = jax.lax.sort_key_val(requests, jnp.arange(len(requests)))
    owner = jnp.minimum(ordered // span, owners)
    first, index = runs(ordered)
    base = jax.lax.cummax(jnp.where(runs(owner)[0], index, 0))
    return Distinct(ordered, order, first, index, owner, index - base)


def runs(ordered: Int[Array, " count"]) -> tuple[Array, Int[Array, " count"]]:
    """Whether each value differs from the one before, and the number of its run of equal ones."""
    first = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    return first, jnp.cumsum(first, dtype=jnp.int32) - 1


def bucket(
    requests: Int[Array, " count"], span: int, owners: int, capacity: int
) -> tuple[Int[Array, " owners_capacity"], Int[Array, " count"], Load]:
    """Distinct requests by owner.

    Returns the buffers, which hold request mod span, or span; where in them each request lies
    (owners · capacity: nowhere); and their load.
    """
    wanted = distinct(requests, span, owners)
    real, nowhere = wanted.owner < owners, owners * capacity
    fits = real & (wanted.rank < capacity)
    slot = jnp.where(fits, wanted.owner * capacity + wanted.rank, nowhere)
    buffers = jnp.full(nowhere, span, requests.dtype)
    buffers = buffers.at[slot].set(wanted.ordered % span, mode="drop")
    load = Load(
        (wanted.first & real & ~fits).sum(dtype=jnp.int32),
        jnp.where(real, wanted.rank + 1, 0).max() / capacity,
    )
    return buffers, wanted.scatter(slot), load


def merge(
    requests: Int[Array, " count"], gradients: Float[Array, "count width"], span: int
) -> tuple[Int[Array, " count"], Float[Array, "count width"]]:
    """Gradients of equal requests summed.

    Returns the distinct requests, rising, and after them numbers from `span` on, with zeros as
    gradients: all numbers are different, so that a scatter by them can be any order.
    """
    ordered, order = jax.lax.sort_key_val(requests, jnp.arange(len(requests)))
    first, index = runs(ordered)
    sums = jax.ops.segment_sum(
        gradients[order], index, num_segments=len(requests), indices_are_sorted=True
    )
    real = first & (ordered < span)
    rows = span + jnp.arange(len(requests), dtype=requests.dtype)
    rows = rows.at[jnp.where(real, index, len(requests))].set(ordered, mode="drop")
    return rows, jnp.where((rows < span)[:, None], sums, 0)


def read(rows: Float[Array, "count width"], slot: Int[Array, " asked"]) -> Array:
    """Rows by number, zeros beyond the last."""
    return rows.at[slot].get(mode="fill", fill_value=0)


def add(count: int, slot: Int[Array, " asked"], gradients: Float[Array, "asked width"]) -> Array:
    """Sums of gradients by number, those beyond the last dropped."""
    return (
        jnp.zeros((count, gradients.shape[1]), gradients.dtype).at[slot].add(gradients, mode="drop")
    )
