"""A price, and the book of all that are known."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

ITEMS = {
    "chip-hour": "a chip of an accelerator, its share of the host included; kind: v5e, h100, …",
    "vcpu-hour": "a vCPU of a machine family; kind: n2, …",
    "memory-gib-hour": "a GiB of that family's memory",
    "storage-gib-month": "a GiB of objects; kind: standard, nearline, …",
    "storage-thousand-writes": "a thousand writes and listings of objects",
    "storage-thousand-reads": "a thousand reads of objects",
    "egress-gib": "a GiB to the internet",
    "zone-gib": "a GiB between zones of a region",
    "balancer-gib": "a GiB through the load balancer, in one direction",
    "balancer-hour": "the load balancer itself",
    "queue-gib": "a GiB published to the queue, or delivered by it",
    "run-vcpu-second": "a vCPU of Cloud Run; kind: request or instance, as billed",
    "run-gib-second": "a GiB of Cloud Run's memory",
    "run-million-requests": "a million requests to Cloud Run",
    "dataflow-vcpu-hour": "a vCPU of Dataflow, batch",
    "dataflow-gib-hour": "a GiB of Dataflow's memory, batch",
    "dataflow-shuffle-gib": "a GiB that Dataflow shuffles",
}
"""What has a price, and the unit that is paid for."""

CAPACITIES = ("on-demand", "spot", "reserved", "reserved-1y", "reserved-3y", "flex-start")
"""How it is bought. "reserved" alone is a contract of one's own: only one's own file has it."""

ANYWHERE = "*"
"""The region of a price that all regions share."""


@dataclasses.dataclass(frozen=True)
class Price:
    """What one unit costs.

    Attributes:
      item: one of ITEMS.
      kind: which of its kinds; "" where it has none.
      region: of the cloud; "*": all.
      capacity: one of CAPACITIES.
      value: of one unit, in `currency`.
      currency: as in ISO 4217.
      source: where the figure was read: an address, or the user's file.
      date: when it was read or published.
    """

    item: str
    kind: str
    region: str
    capacity: str
    value: float
    currency: str
    source: str
    date: str


class Key(NamedTuple):
    """What finds a price."""

    item: str
    kind: str
    region: str
    capacity: str


@dataclasses.dataclass(frozen=True)
class Book:
    """Prices in one currency.

    Attributes:
      currency: of all of them.
      prices: by what finds them.
    """

    currency: str
    prices: Mapping[Key, Price]

    def find(
        self, item: str, kind: str = "", region: str = ANYWHERE, capacity: str = "on-demand"
    ) -> Price | None:
        """The price of a region, or what all share; None: no source was found."""
        assert item in ITEMS
        for place in (region, ANYWHERE):
            found = self.prices.get(Key(item, kind, place, capacity))
            if found is not None:
                return found
        return None

    def chip_hour(self, accelerator: str, region: str, capacity: str = "on-demand") -> Price | None:
        """The price of a chip ("v5e", as `framework/devices/hardware.py` names it) for an hour."""
        return self.find("chip-hour", accelerator, region, capacity)

    def regions(self, item: str, kind: str) -> tuple[str, ...]:
        """The regions that have a price of it, however it is bought."""
        return tuple(sorted({key.region for key in self.prices if key[:2] == (item, kind)}))

    def over(self, other: "Book") -> "Book":
        """These prices before another book's; alone, where that is in another currency."""
        if other.currency != self.currency:
            return self
        return Book(self.currency, {**other.prices, **self.prices})
