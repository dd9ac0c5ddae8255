"""All figures of a plan: what is given, what was measured, what things cost."""

import dataclasses
from collections.abc import Sequence

from podway.framework.config import Experiment, RowExamples
from podway.launch.plan import defaults
from podway.launch.plan.figure import UNKNOWN, Figure
from podway.launch.plan.load import Load, assumed, stated
from podway.launch.prices.price import Book

MACHINE = "n2"
"""The family of machines that all but the chips are priced as."""
_WIDTH = 64
"""Width of the model whose scores were measured."""

_RESERVED = "reserved"
_PRICED = {
    "vcpu_hour": ("vcpu-hour", MACHINE, "vCPU h"),
    "memory_gib_hour": ("memory-gib-hour", MACHINE, "GiB h"),
    "worker_vcpu_hour": ("vcpu-hour", MACHINE, "vCPU h"),
    "worker_gib_hour": ("memory-gib-hour", MACHINE, "GiB h"),
    "storage_gib_month": ("storage-gib-month", "standard", "GiB month"),
    "writes_thousand": ("storage-thousand-writes", "standard", "thousand"),
    "reads_thousand": ("storage-thousand-reads", "standard", "thousand"),
    "queue_gib": ("queue-gib", "", "GiB"),
    "balancer_gib": ("balancer-gib", "", "GiB"),
    "balancer_hour": ("balancer-hour", "", "h"),
    "egress_gib": ("egress-gib", "", "GiB"),
    "zone_gib": ("zone-gib", "", "GiB"),
}
"""Figure → item, kind and unit of its price."""
_ALWAYS = ("vcpu_hour", "memory_gib_hour")
"""Of what runs all the time."""
_AT_TIMES = ("worker_vcpu_hour", "worker_gib_hour")
"""Of what does not, and so is never reserved."""


def gather(
    load: Load,
    experiment: Experiment,
    training: Sequence[Figure],
    accelerator: str,
    book: Book,
    qps_per_core: float | None = None,
    assumptions: Sequence[str] = (),
) -> tuple[Figure, ...]:
    """All figures. Raises ConfigError for what is missing or cannot be.

    Args:
      load: what is asked for.
      experiment: whose model it is.
      training: what is known of a training step (launch/plan/step.py).
      accelerator: whose chips train; "": none was named.
      book: the prices.
      qps_per_core: requests a second that the user's own server answers on one core.
      assumptions: "NAME=VALUE" of figures to set.
    """
    figures = (
        *stated(load, experiment),
        _spot(load),
        *training,
        *_serving(experiment, qps_per_core),
        *defaults.SERVICES,
        *defaults.VENDOR,
        *defaults.RULES,
        *_prices(book, load, accelerator),
    )
    return assumed(figures, assumptions)


def _spot(load: Load) -> Figure:
    spot = load.machine_capacity == "spot"
    return Figure(
        *("machines_spot", float(spot), "", "given", "--machine-capacity"),
        meaning="1: machines may be taken away at any time",
        high=1.0,
        varied=False,
    )


def _serving(experiment: Experiment, qps: float | None) -> tuple[Figure, ...]:
    """What a request takes: given, or measured of a model of its kind; else unknown."""
    rows, base, item = defaults.MEASURED
    if qps is not None:
        told = {"basis": "given", "source": f"--qps-per-core {qps:g}"}
        base = dataclasses.replace(base, value=1e3 / qps, **told)
        return (rows, base, dataclasses.replace(item, value=0.0, **told))
    if isinstance(experiment.data.examples, RowExamples):
        none = "no model of rows was measured: give --qps-per-core"
        base = dataclasses.replace(base, value=UNKNOWN, source=none)
        return (rows, base, dataclasses.replace(item, value=0.0, source=none))
    width = getattr(experiment.model, "width", _WIDTH)
    if width != _WIDTH:
        item = dataclasses.replace(
            item,
            value=item.value * width / _WIDTH,
            source=f"{item.source}; × {width} / {_WIDTH} for model.width",
        )
    return (rows, base, item)


def _prices(book: Book, load: Load, accelerator: str) -> tuple[Figure, ...]:
    reserved = load.capacity.startswith(_RESERVED)
    found = [
        Figure(
            *("chips_reserved", float(reserved), "", "given", "--capacity"),
            meaning="1: chips are paid for all month, 0: while they train",
            high=1.0,
            varied=False,
        ),
        _price(book, "chip_hour", "chip-hour", accelerator, "chip h", load, load.capacity),
    ]
    for name, (item, kind, unit) in _PRICED.items():
        capacity = load.machine_capacity if name in (*_ALWAYS, *_AT_TIMES) else "on-demand"
        if name in _AT_TIMES and capacity.startswith(_RESERVED):
            capacity = "on-demand"
        found.append(_price(book, name, item, kind, unit, load, capacity))
    return tuple(found)


def _price(
    book: Book, name: str, item: str, kind: str, unit: str, load: Load, capacity: str
) -> Figure:
    asked = " ".join(filter(None, (kind, load.region, capacity)))
    price = book.find(item, kind, load.region, capacity)
    value, source = UNKNOWN, f"no price of {item} is known for {asked}: give --prices"
    if price is not None:
        value, source = price.value, f"{price.source}, {price.date}"
    meaning = f"price of one: {item}, {asked}"
    return Figure(name, value, f"{book.currency} per {unit}", "vendor", source, meaning)
