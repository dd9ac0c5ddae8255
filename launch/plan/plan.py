"""The plan: all lines, what they cost, what is not known, what cannot be kept."""

import dataclasses
import math

from podway.launch.plan import data, services, serving, storage, stores, traffic, training
from podway.launch.plan.figure import Figure, Values, values_of
from podway.launch.plan.line import Line, total

SECTIONS = (
    data.lines,
    training.lines,
    serving.lines,
    services.lines,
    stores.lines,
    traffic.queue_lines,
    traffic.network_lines,
    storage.lines,
)


@dataclasses.dataclass(frozen=True)
class Check:
    """Something that the load asks for: is it so?

    Attributes:
      holds: None: nobody knows.
      said: what was found, and what would mend it.
    """

    holds: bool | None
    said: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a load takes.

    Attributes:
      name: of the experiment.
      currency: of all costs.
      figures: what it was computed of.
      lines: the amounts, by section.
    """

    name: str
    currency: str
    figures: tuple[Figure, ...]
    lines: tuple[Line, ...]

    @property
    def values(self) -> dict[str, float]:
        """The figures' values, by name."""
        return values_of(self.figures)

    @property
    def total(self) -> float:
        """What a month costs, without what is unknown."""
        return total(self.lines, self.values)

    @property
    def by_section(self) -> dict[str, float]:
        """Likewise of each section, in the order of the chain."""
        found: dict[str, list[Line]] = {}
        for line in self.lines:
            found.setdefault(line.section, []).append(line)
        return {name: total(tuple(lines), self.values) for name, lines in found.items()}

    @property
    def unpriced(self) -> tuple[Line, ...]:
        """The lines whose cost is unknown: it is not in the total."""
        return tuple(line for line in self.lines if math.isnan(line.cost(self.values)))

    @property
    def cost_per_million(self) -> float:
        """Of requests; NaN where there are none."""
        requests = traffic.requests(self.values)
        return self.total / requests * 1e6 if requests else math.nan

    @property
    def checks(self) -> tuple[Check, ...]:
        """What the load asks for beside amounts."""
        return _checks(self.values)


def compute(values: Values) -> tuple[Line, ...]:
    """All lines of a plan: nothing but arithmetic."""
    return tuple(line for section in SECTIONS for line in section(values))


def make(name: str, currency: str, figures: tuple[Figure, ...]) -> Plan:
    """The plan that follows from the figures."""
    return Plan(name, currency, figures, compute(values_of(figures)))


def _checks(v: Values) -> tuple[Check, ...]:
    age, asked = training.model_age(v), v["freshness_hours"]
    chain = age - v["retrain_every_hours"]
    found = [_freshness(age, asked, chain)]
    if chain > v["retrain_every_hours"]:
        said = f"building, training and export take {chain:,.1f} h, and begin every"
        said += f" {v['retrain_every_hours']:g} h: they overlap; give more chips or --retrain-every"
        found.append(Check(False, said))
    needed, limit = v["device_needed_bytes"], v["device_limit_bytes"]
    if not math.isnan(needed + limit):
        said = f"a device needs {needed / 2**30:.2f} GiB of {limit / 2**30:.2f} GiB"
        more = (
            "" if needed <= limit else "; `podway preflight` with the same options says what fits"
        )
        found.append(Check(needed <= limit, f"training's memory: {said}{more}"))
    if v["zones"] < 2:
        found.append(Check(False, "--zones 1: a zone that is lost takes the service with it"))
    else:
        found.append(Check(True, f"a zone of {v['zones']:g} may be lost at the peak"))
    if v["machines_spot"]:
        said = "--machine-capacity spot: replicas and stores may all be taken away at once"
        found.append(Check(False, f"{said}; buy them otherwise"))
    return tuple(found)


def _freshness(age: float, asked: float, chain: float) -> Check:
    if math.isnan(age):
        return Check(None, f"--freshness {asked:g}: unknown, as the time of training is")
    said = f"the oldest model that answers is {age:,.1f} h old; asked for are {asked:g} h"
    if age <= asked:
        return Check(True, said)
    most = asked - chain
    if most <= 0:
        return Check(False, f"{said}; the chain alone takes {chain:,.1f} h: give it more machines")
    return Check(False, f"{said}; --retrain-every {math.floor(10 * most) / 10:g} would keep it")
