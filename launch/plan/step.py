"""What is known of a training step on a pod: given, compiled, counted, or not at all."""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import TYPE_CHECKING

from podway.framework import config
from podway.launch.plan.figure import UNKNOWN, Basis, Figure

if TYPE_CHECKING:
    from podway.framework.devices.topology import Topology
    from podway.framework.preflight.report import Report
    from podway.framework.schema.schema import Schema

log = logging.getLogger(__name__)

MFU = 0.2
"""Share of the peak that a step reaches, where none was compiled: on an H100 a language model of a
billion parameters reached .41, a small SASRec .03 (docs/results.md)."""
SLOWDOWN = 1.5
"""Of a real step against a compiled prediction, which is at peak rates."""


@dataclasses.dataclass(frozen=True)
class Step:
    """Of one training step, as far as it is known.

    Attributes:
      chips: that run it.
      seconds: that it takes.
      basis: how that is known.
      source: from where.
      slowdown: of a real step against it.
      why_slowdown: the reason.
      model: bytes of parameters and tables.
      state: bytes of the training state.
      needed: bytes that a device needs.
      limit: bytes that it has.
    """

    chips: float = UNKNOWN
    seconds: float = UNKNOWN
    basis: Basis = "compiled"
    source: str = ""
    slowdown: float = 1.0
    why_slowdown: str = "as it is"
    model: float = UNKNOWN
    state: float = UNKNOWN
    needed: float = UNKNOWN
    limit: float = UNKNOWN

    @property
    def figures(self) -> tuple[Figure, ...]:
        """As figures of a plan."""
        shapes = self.source if math.isnan(self.model) else "shapes of the training state"
        fits = self.source if math.isnan(self.needed) else "podway preflight"
        pod = "no pod is named: give --topology"
        if not math.isnan(self.chips):
            pod = "--topology, --slices"
        return (
            Figure("chips", self.chips, "chips", "given", pod, "of training", varied=False),
            Figure(
                "step_seconds", self.seconds, "s", self.basis, self.source, "of a step", low=1e-12
            ),
            Figure(
                "step_slowdown", self.slowdown, "", "rule", self.why_slowdown, "of a real step", 1.0
            ),
            Figure("model_bytes", self.model, "B", "compiled", shapes, "parameters and tables"),
            Figure("state_bytes", self.state, "B", "compiled", shapes, "a checkpoint"),
            Figure(
                *("device_needed_bytes", self.needed, "B", "compiled", fits, "of a device"),
                varied=False,
            ),
            Figure(
                *("device_limit_bytes", self.limit, "B", "compiled", fits, "of a device"),
                varied=False,
            ),
        )


def unknown(why: str, pod: Topology | None, seconds: float | None) -> Step:
    """Of a model whose step cannot be compiled for declared sizes."""
    known = Step(source=why) if pod is None else Step(source=why, chips=float(pod.chips))
    if seconds is None:
        return known
    return dataclasses.replace(known, seconds=seconds, basis="given", source="--step-seconds")


def of(
    experiment: config.Experiment,
    schema: Schema,
    pod: Topology | None,
    *,
    seconds: float | None = None,
    compiles: bool = True,
) -> Step:
    """What is known of a step.

    Args:
      experiment: whose step.
      schema: of the declared sizes.
      pod: that it runs on; None: nobody said.
      seconds: that a step takes, if the user has measured it.
      compiles: whether the step may be compiled.

    Raises ConfigError where the experiment does not fit the pod's mesh.
    """
    known = _sizes(experiment, schema)
    if pod is not None:
        known = dataclasses.replace(known, chips=float(pod.chips))
    if seconds is not None:
        return dataclasses.replace(known, seconds=seconds, basis="given", source="--step-seconds")
    if pod is None:
        return dataclasses.replace(known, source="no pod is named: give --topology")
    if not compiles:
        return dataclasses.replace(known, source="--no-compile: give --step-seconds")
    import jax

    from podway.framework.devices.topology import TopologyError
    from podway.framework.preflight.compile import examine

    if not pod.accelerator.small and jax.devices()[0].platform != _platform(pod):
        return _counted(known, experiment, schema, pod, f"nothing here compiles for {pod}")
    log.info("compiling the training step for %s, which may take minutes", pod)
    try:
        report = examine(experiment, schema, pod, evaluation=False)
    except TopologyError as error:
        return _counted(known, experiment, schema, pod, str(error))
    return _compiled(known, report)


def _platform(pod: Topology) -> str:
    return "cpu" if pod.accelerator.name == "cpu" else "gpu"


def _compiled(known: Step, report: Report) -> Step:
    usage, seconds = report.train.usage, report.step_seconds
    pod = report.topology
    source = f"podway preflight for {pod}, at peak rates, nothing overlapped"
    if seconds is None:
        source = f"does not fit {pod}, or no bandwidth between its slices is known"
    return dataclasses.replace(
        known,
        seconds=UNKNOWN if seconds is None else seconds,
        source=source,
        slowdown=SLOWDOWN,
        why_slowdown="no link, memory or unit reaches its peak",
        needed=float(usage.needed),
        limit=float(usage.limit),
    )


def _counted(
    known: Step, experiment: config.Experiment, schema: Schema, pod: Topology, why: str
) -> Step:
    """From the model's FLOPs and a utilisation, as there is no compiler for this pod here."""
    from podway.framework.devices import topology
    from podway.framework.preflight.compile import examine
    from podway.framework.preflight.report import peaks

    alone = dataclasses.replace(experiment, mesh=config.Mesh())
    report = examine(alone, schema, topology.parse("cpu:1"), evaluation=False)
    return dataclasses.replace(
        known,
        seconds=report.model_flops / (pod.devices * peaks(pod)["bf16"] * MFU),
        basis="rule",
        source=f"{report.model_flops:.3g} FLOPs at {MFU:.0%} of the peak, as {why}",
        why_slowdown="in the share of the peak",
    )


def _sizes(experiment: config.Experiment, schema: Schema) -> Step:
    """Bytes of the parameters and tables, and of the whole training state."""
    from podway.framework.devices import mesh
    from podway.framework.training.state import describe_state

    alone = dataclasses.replace(experiment, mesh=config.Mesh())
    arrays = describe_state(alone, schema, mesh.shape(alone.mesh, 1))
    served = [each for each in arrays if each.path.split(".")[0] in ("parameters", "tables")]
    return Step(
        model=float(sum(each.bytes for each in served)),
        state=float(sum(each.bytes for each in arrays)),
    )
