"""What an hour of a core or a chip costs, by the prices that `podway plan` and `launch` go by."""

import dataclasses
import math
from collections.abc import Callable, Sequence

from podway.framework.error import check
from podway.launch.plan import defaults
from podway.launch.plan.gather import MACHINE
from podway.launch.prices import book as prices
from podway.launch.prices.price import CAPACITIES, Book, Price

CORE = "cpu"
"""What a device of no accelerator is called; a vCPU is the unit of it that is paid for."""
_RULES = {figure.name: figure.value for figure in defaults.RULES}
GIB_PER_CORE, SPEED, UTILISATION = (
    _RULES[name] for name in ("gib_per_vcpu", "vcpu_speed", "utilisation")
)
FORMULA = (
    f"a million answers × ms of a core for one × price of a vCPU's hour / 3,600,000 ms"
    f" / {UTILISATION:g}, the load of a server at its peak"
)
"""Of the cost of a million answers."""
_MILLION, _HOUR_MS = 1e6, 3.6e6


@dataclasses.dataclass(frozen=True)
class Bought:
    """Where and how machines are paid for.

    Attributes:
      region: of the cloud.
      capacity: "on-demand", "spot" and so on (launch/prices/price.py).
    """

    region: str = "us-central1"
    capacity: str = "on-demand"


@dataclasses.dataclass(frozen=True)
class Rate:
    """What an hour of something costs.

    Attributes:
      of: what it is, in words.
      currency: of the amount.
      amount: of an hour; None: unknown.
      sources: each price that it is made of, with where and when it was read.
      missing: which price there is not, and what would give it; "" where there is an amount.
    """

    of: str
    currency: str
    amount: float | None = None
    sources: tuple[str, ...] = ()
    missing: str = ""

    def told(self) -> str:
        """In a line."""
        if self.amount is None:
            return f"an hour of {self.of}: unknown; {self.missing}"
        where = "; ".join(self.sources)
        return f"an hour of {self.of}: {self.amount:.4g} {self.currency} ({where})"


def read(file: str, bought: Bought) -> Callable[[str], Rate]:
    """What an hour of a device costs, by its name.

    Args:
      file: of the user's own prices; "": none.
      bought: as options say.

    Raises ConfigError, which names the flag.
    """
    check(
        bought.capacity in CAPACITIES,
        f"--capacity is {bought.capacity!r}; give one of {', '.join(CAPACITIES)}",
    )
    found = prices.read(file)
    return lambda name: of_device(found, bought, name)


def of_device(book: Book, bought: Bought, name: str) -> Rate:
    """An hour of a device: "cpu", which is a vCPU with its memory, or a chip such as "v5e"."""
    return core(book, bought) if name == CORE else _chip(book, bought, name)


def core(book: Book, bought: Bought) -> Rate:
    """An hour of a vCPU with the memory that comes with it."""
    said = f"a vCPU of {MACHINE} with {GIB_PER_CORE:g} GiB"
    items = (("vcpu-hour", 1.0), ("memory-gib-hour", GIB_PER_CORE))
    return _rate(book, bought, said, MACHINE, items)


def _chip(book: Book, bought: Bought, name: str) -> Rate:
    return _rate(book, bought, f"a chip of {name}", name, (("chip-hour", 1.0),))


def _rate(
    book: Book, bought: Bought, said: str, kind: str, items: Sequence[tuple[str, float]]
) -> Rate:
    of = f"{said}, {bought.region}, {bought.capacity}"
    found: list[tuple[Price, float]] = []
    for item, count in items:
        price = book.find(item, kind, bought.region, bought.capacity)
        if price is None:
            missing = (
                f"there is no price of {item}, {kind}, {bought.region}, {bought.capacity}: give one"
                " in --prices FILE (docs/capacity.md), or another --region or --capacity"
            )
            return Rate(of, book.currency, missing=missing)
        found.append((price, count))
    return Rate(
        of,
        book.currency,
        math.fsum(count * price.value for price, count in found),
        tuple(_source(price, count) for price, count in found),
    )


def _source(price: Price, count: float) -> str:
    times = "" if count == 1 else f"{count:g} × "
    return f"{times}{price.value:g} {price.item}, {price.source}, {price.date}"


def of_answers(core_ms: float, rate: Rate) -> float:
    """The price of a million answers that take so many milliseconds of a core each."""
    amount = math.nan if rate.amount is None else rate.amount
    return _MILLION * core_ms / SPEED * amount / _HOUR_MS / UTILISATION
