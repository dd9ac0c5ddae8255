"""What trainings have cost: seconds of devices, and their price."""

import collections
import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping

import jax

from podway.framework.devices import hardware
from podway.launch.cost.rate import CORE, Rate

FORMULA = (
    "seconds of all attempts × chips or vCPUs / workers that share them × price of an hour / 3,600"
)
"""Of the cost of a training."""
Seconds = Mapping[str, float]
"""Device, as prices name it → seconds of all that were held: two chips for a second are two."""
Rates = Callable[[str], Rate]
"""Name of a device → what an hour of it costs."""


@dataclasses.dataclass(frozen=True)
class Bill:
    """What trainings have cost.

    Attributes:
      currency: of all amounts.
      trials: by number of the trial; not a number: some device of it has no price.
      seeds: the candidates' other seeds together.
      seconds: of devices, of both together.
      rates: of each device.
    """

    currency: str
    trials: Mapping[int, float]
    seeds: float
    seconds: Seconds
    rates: Mapping[str, Rate]

    @property
    def total(self) -> float:
        """Of trials and seeds."""
        return math.fsum([*self.trials.values(), self.seeds])


def bill(trials: Mapping[int, Seconds], seeds: Seconds, currency: str, rates: Rates) -> Bill:
    """The bill of trials, by number, and of the candidates' other seeds."""
    seconds = together([*trials.values(), seeds])
    known = {name: rates(name) for name in seconds}
    return Bill(
        currency,
        {number: money(each, known) for number, each in trials.items()},
        money(seeds, known),
        seconds,
        known,
    )


def money(seconds: Seconds, rates: Mapping[str, Rate]) -> float:
    """What seconds of devices cost; not a number where a price is missing."""
    amounts = []
    for name, held in seconds.items():
        amount = rates[name].amount
        amounts.append(math.nan if amount is None else held / 3600 * amount)
    return math.fsum(amounts)


def together(parts: Iterable[Seconds]) -> dict[str, float]:
    """The seconds of several, by device."""
    found: collections.Counter[str] = collections.Counter()
    for part in parts:
        found.update(part)
    return dict(found)


def held(workers: int) -> tuple[str, float]:
    """The device that this process trains on, and how many of it are its own, where so many
    workers share the machine."""
    device = jax.devices()[0]
    known = hardware.of(device)
    if device.platform == CORE:
        return CORE, _cores() / workers
    if known is None:
        return device.device_kind, jax.device_count() / workers
    return known.name, jax.device_count() / known.devices_per_chip / workers


def _cores() -> int:
    """That this process may run on; of the machine where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
