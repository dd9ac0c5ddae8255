"""What a training run will take: does it fit, how long, and at what price."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from podway.framework.config import Experiment
from podway.framework.page import text

if TYPE_CHECKING:
    from podway.framework.devices.topology import Topology
    from podway.framework.schema.schema import Schema
    from podway.launch.prices.price import Price


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Predicted before anything is paid for.

    Attributes:
      fits: whether the step's memory fits; None: not compiled.
      step_seconds: of one step; None: not compiled, or unknown.
      steps: to do.
      chips: that are paid for.
      price: of a chip for an hour; None: unknown.
      why_not: why there is no prediction; "" where there is one.
      report: what preflight printed of the step.
    """

    fits: bool | None
    step_seconds: float | None
    steps: int
    chips: int
    price: Price | None
    why_not: str = ""
    report: str = ""

    @property
    def hours(self) -> float | None:
        """Of all steps, without compiling, evaluation, saves and restarts."""
        return None if self.step_seconds is None else self.steps * self.step_seconds / 3600

    @property
    def cost(self) -> float | None:
        """Of these hours, in the price's currency."""
        if self.hours is None or self.price is None:
            return None
        return self.hours * self.chips * self.price.value

    def lines(self) -> list[str]:
        """For the plan."""
        found = [f"memory     {_fits(self)}"]
        if self.hours is None:
            found.append(f"time       not predicted: {self.why_not or 'no figures of the network'}")
        else:
            found.append(
                f"time       {text.span(self.hours * 3600)} for {self.steps:,} steps of"
                f" {1e3 * (self.step_seconds or 0):.3g} ms, at the maker's peaks: a lower bound,"
                " without compiling, evaluation and saves"
            )
        found.append(f"price      {_price(self)}")
        return found


def _fits(estimate: Estimate) -> str:
    if estimate.fits is None:
        return f"not compiled: {estimate.why_not}"
    return "fits, as compiled" if estimate.fits else "DOES NOT FIT, as compiled"


def _price(estimate: Estimate) -> str:
    price = estimate.price
    if price is None:
        return f"of {estimate.chips} chips: unknown; --prices FILE names a price"
    hourly = estimate.chips * price.value
    said = f"{hourly:,.2f} {price.currency} an hour for {estimate.chips} chips ({price.source})"
    if estimate.cost is not None:
        said = f"{_money(estimate.cost)} {price.currency} for these steps; {said}"
    return said


def _money(value: float) -> str:
    """What costs next to nothing is not free."""
    return "< 0.01" if 0 < value < 0.01 else f"{value:,.2f}"


def of(
    experiment: Experiment, schema: Schema | None, pod: Topology, price: Price | None, why_not: str
) -> Estimate:
    """Compiles the step for a pod of TPUs, where sizes are known.

    Raises ConfigError, TopologyError.

    Args:
      experiment: the config.
      schema: sizes of the dataset; None: unknown.
      pod: the devices.
      price: of a chip for an hour.
      why_not: why the sizes are unknown.
    """
    unknown = Estimate(None, None, experiment.trainer.steps, pod.chips, price, why_not)
    if not pod.accelerator.small:
        why = f"the step can be compiled for TPUs only here, not for {pod.accelerator.name}"
        return dataclasses.replace(unknown, why_not=why)
    if schema is None:
        return unknown
    from podway.framework.preflight.compile import examine

    report = examine(experiment, schema, pod, evaluation=False)
    return dataclasses.replace(unknown, fits=report.fits, step_seconds=report.step_seconds)
