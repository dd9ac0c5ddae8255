"""What preflight found: the compiled programs of a pod, as numbers and as plain data."""

import dataclasses
from typing import Any

import jax

from podway.framework import config
from podway.framework.devices import hardware
from podway.framework.devices.topology import Topology
from podway.framework.preflight import memory, roofline
from podway.framework.preflight.collectives import Collective

ASSUMPTIONS = """\
Predictions, not measurements. They assume that products run at the maker's peak FLOP/s, memory
and links at peak bandwidth; that computing and sending do not overlap ("serial", from which MFU and
cost follow) or do so wholly ("overlapped"); that input keeps up; and that a collective costs its
bytes only and an instruction its products and memory only: no latencies, which is what bounds small
models, and no vector units. A real step is slower; compare predictions with each other."""


GPU_ASSUMPTIONS = """\
Predictions, not measurements. Each kernel takes the longest of its products at two thirds of the
maker's peak, its memory traffic at nine tenths of the bandwidth (from the cache, where it fits, a
quarter above it) and 3.5 µs, one after the other; collectives take their bytes at peak bandwidth.
Of one H200 four measured steps took 4 to 9 % more; on other GPUs and on several at once nothing was
measured. What the compiler would try on the GPU itself (autotuning) is left out."""


@dataclasses.dataclass(frozen=True)
class CompiledProgram:
    """One compiled program on one device.

    Attributes:
      usage: the memory that it needs.
      largest: the largest arrays that it computes.
      collectives: what it sends.
      times: what that takes at the makers' peaks; None where it does not fit.
      unknown_loops: loops whose trips depend on data; they count once.
      kernels: that a GPU starts in one run; None for other devices.
    """

    usage: memory.Usage
    largest: tuple[memory.Held, ...]
    collectives: tuple[Collective, ...] = ()
    times: roofline.Times | None = None
    unknown_loops: tuple[str, ...] = ()
    kernels: int | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """What a pod would do with an experiment.

    Attributes:
      experiment: as it was compiled.
      topology: the pod.
      mesh: axis → devices.
      sizes: feature → ids, of the schema.
      state: the largest arrays of the training state.
      train: the training step.
      evaluate: what is evaluated, of one batch of examples; None where it was left out.
      model_flops: of one training step, over all devices (framework/training/flops.py).
    """

    experiment: config.Experiment
    topology: Topology
    mesh: dict[str, int]
    sizes: dict[str, int]
    state: tuple[memory.Held, ...]
    train: CompiledProgram
    evaluate: CompiledProgram | None
    model_flops: float

    @property
    def fits(self) -> bool:
        """Whether both programs fit."""
        return self.train.usage.fits and (self.evaluate is None or self.evaluate.usage.fits)

    @property
    def assumptions(self) -> str:
        """What the predictions take for granted."""
        return GPU_ASSUMPTIONS if self.topology.accelerator.kernels else ASSUMPTIONS

    @property
    def step_seconds(self) -> float | None:
        """Predicted time of a step where nothing overlaps."""
        return self.train.times.serial if self.train.times else None

    @property
    def examples_per_second(self) -> float | None:
        """Predicted, over all devices."""
        seconds = self.step_seconds
        return self.experiment.trainer.batch_size / seconds if seconds else None

    @property
    def mfu(self) -> float | None:
        """Predicted model FLOPs utilisation."""
        peak = peaks(self.topology)["bf16"]
        seconds = self.step_seconds
        return self.model_flops / (seconds * self.topology.devices * peak) if seconds else None

    def cost_per_million(self, price_per_chip_hour: float) -> float | None:
        """Predicted price of a million examples, in the unit of the price."""
        rate = self.examples_per_second
        return 1e6 / rate / 3600 * self.topology.chips * price_per_chip_hour if rate else None


def peaks(pod: Topology) -> dict[str, float]:
    """FLOP/s of one of its devices, by precision; of one here where its maker says none."""
    return pod.accelerator.peak_flops or hardware.peaks(jax.devices("cpu")[0])


def scan_rows(reports: list[Report], price: float | None = None) -> list[dict[str, Any]]:
    """One row for each pod: times in ms, bytes on one device in GB."""
    base = _rate_per_chip(reports[0])
    rows = []
    for report in reports:
        times, rate = report.train.times, _rate_per_chip(report)
        row = {
            "pod": str(report.topology),
            "chips": report.topology.chips,
            "batch": report.experiment.trainer.batch_size,
            "fits": report.fits,
            "memory_gb": report.train.usage.needed / 1e9,
            "wire_mb": sum(collective.wire_bytes for collective in report.train.collectives) / 1e6,
            "chip_ms": 1e3 * times.chip if times else None,
            "ici_ms": 1e3 * times.ici if times else None,
            "dcn_ms": 1e3 * times.dcn if times and times.dcn is not None else None,
            "step_ms": 1e3 * report.step_seconds if report.step_seconds else None,
            "bound": times.bound if times else None,
            "mfu_percent": 100 * report.mfu if report.mfu else None,
            "efficiency_percent": 100 * rate / base if rate and base else None,
        }
        if price is not None:
            row["cost_per_million"] = report.cost_per_million(price)
        rows.append(row)
    return rows


def _rate_per_chip(report: Report) -> float | None:
    rate = report.examples_per_second
    return rate / report.topology.chips if rate else None


def to_json(report: Report, tried: list[Report], price: float | None = None) -> dict[str, Any]:
    """The report as plain data: seconds, bytes of one device."""
    programs = {"train": report.train, "evaluate": report.evaluate}
    return {
        "experiment": report.experiment.name,
        "topology": str(report.topology),
        "chips": report.topology.chips,
        "mesh": report.mesh,
        "sizes": report.sizes,
        "fits": report.fits,
        "state": [dataclasses.asdict(holding) for holding in report.state],
        "step_seconds": report.step_seconds,
        "mfu": report.mfu,
        "examples_per_second": report.examples_per_second,
        "cost_per_million": None if price is None else report.cost_per_million(price),
        "model_flops": report.model_flops,
        **{name: _program_json(program) for name, program in programs.items() if program},
        "tried": [
            {
                "options": difference(report.experiment, other.experiment),
                "fits": other.fits,
                "missing": other.train.usage.missing,
                "step_seconds": other.step_seconds,
            }
            for other in tried
        ],
        "assumptions": report.assumptions,
    }


def _program_json(program: CompiledProgram) -> dict[str, Any]:
    return {
        "memory": {**dataclasses.asdict(program.usage), "missing": program.usage.missing},
        "largest": [dataclasses.asdict(buffer) for buffer in program.largest],
        "collectives": collective_rows(program.collectives),
        "times": None if program.times is None else dataclasses.asdict(program.times),
        "bound": None if program.times is None else program.times.bound,
        "unknown_loops": list(program.unknown_loops),
        "kernels": program.kernels,
    }


def collective_rows(found: tuple[Collective, ...]) -> list[str]:
    """One line for each kind of collective: times, kind, axes, what a device puts in."""
    counts: dict[tuple[str, ...], float] = {}
    for collective in found:
        key = (
            collective.network,
            collective.kind,
            "·".join(collective.axes),
            collective.array,
            str(collective.bytes),
        )
        counts[key] = counts.get(key, 0) + collective.times
    return [
        f"{times:g} × {kind} along {axes} ({network}): {array}, {size} bytes"
        for (network, kind, axes, array, size), times in sorted(counts.items())
    ]


def difference(before: config.Experiment, after: config.Experiment) -> str:
    """The options that turn one experiment into another."""
    options = []
    for part in ("trainer", "mesh"):
        old, new = getattr(before, part), getattr(after, part)
        for field in dataclasses.fields(old):
            if getattr(old, field.name) != getattr(new, field.name):
                name = field.name.replace("_", "-")
                options.append(f"--{part}.{name} {getattr(new, field.name)}")
    return " ".join(options)
