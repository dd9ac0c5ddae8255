"""`podway preflight`: before a pod is rented, does it fit, how fast is it, what does it cost."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from etils import epath

from podway.framework.config import Experiment, Model, RowExamples
from podway.framework.error import check
from podway.framework.exit_codes import COMPLETE, REFUSED
from podway.launch import stages
from podway.launch.verbs.verb import Stage, Verb

if TYPE_CHECKING:
    from podway.framework.preflight.report import CompiledProgram, Report
    from podway.framework.schema.schema import Schema


@dataclasses.dataclass(frozen=True)
class Pod:
    """Devices, and the sizes of what is put on them."""

    topology: str = ""
    """Pod to compile for: v5e:16x16, v5p:4x4x8; cpu:8 for this machine's CPU as eight devices; gpu
    for its GPUs. Empty: the devices that JAX sees here."""
    slices: int = 1
    """Pods of that shape, joined by the data centre's network."""
    items: int | None = None
    """Declare the number of items instead of reading the dataset, which need not exist then."""
    users: int = 1_000_000
    """Users of a declared dataset."""
    history: int = 1024
    """Longest history of a declared dataset."""

    def __post_init__(self):
        for flag, value in (("items", self.items), ("users", self.users)):
            check(value is None or value > 2, f"--{flag} is {value}; give more than 2")
        check(self.history >= 2, f"--history is {self.history}; give 2 or more")


@dataclasses.dataclass(frozen=True)
class Options(Pod):
    """The pod, the sizes, and what to print."""

    skip_evaluation: bool = False
    """Leave out the evaluation's scores, which are compiled for --evaluation.batch-size users."""
    skip_suggestions: bool = False
    """Where it does not fit, don't compile other layouts to name those that do."""
    scan: str = ""
    """Predict weak scaling over v5e:2x2,4x4,8x8,16x16, say: the batch is that of the first and
    grows with the devices."""
    plot: str = ""
    """File of HTML for the plots of --scan."""
    price_per_chip_hour: float | None = None
    """Price of one chip for an hour, in any currency, to predict that of a million examples."""
    json: bool = False
    """Print JSON, for CI."""


@dataclasses.dataclass(frozen=True)
class Preflight(Stage):
    """An experiment, where its dataset lies, and the pod to compile for."""

    pod: Annotated[Options, tyro.conf.arg(name="")] = Options()


def run(given: Preflight) -> None:
    """Prints the report; exits with 1 where the experiment does not fit."""
    experiment, options = given.experiment, given.pod
    check_trained(experiment)
    names = _names(options)
    choose_platform(names)

    from podway.framework.devices import topology
    from podway.framework.preflight.compile import attempts, examine, scan
    from podway.framework.preflight.report import to_json

    pods = [topology.parse(name, options.slices) for name in names]
    sizes = schema(experiment, given.workdir, options)
    if options.scan:
        reports = scan(experiment, sizes, pods)
        _print_scan(reports, options)
        sys.exit(COMPLETE if all(report.fits for report in reports) else REFUSED)
    pod = pods[0] if pods else topology.here()
    report = examine(experiment, sizes, pod, evaluation=not options.skip_evaluation)
    retry = not report.fits and not options.skip_suggestions
    tried = attempts(report, sizes) if retry else []
    if options.json:
        print(json.dumps(to_json(report, tried, options.price_per_chip_hour), indent=2))
    else:
        print(describe(report, options.price_per_chip_hour))
        if retry:
            print(_advice(report, tried))
    sys.exit(COMPLETE if report.fits else REFUSED)


def check_trained(experiment: Experiment) -> None:
    """Raises ConfigError for an experiment without a model, or without steps that train it."""
    check(
        type(experiment.model) is not Model,
        f"the experiment {experiment.name!r} has no model: set `model` and `optimizer`",
    )
    check(
        not stages.is_fitted(experiment),
        f"{type(experiment.model).__name__} is fitted, not trained: there is no step to compile",
    )


def _names(options: Options) -> list[str]:
    if not options.scan:
        return [options.topology] if options.topology else []
    check(not options.topology, "--scan and --topology exclude each other; give one")
    kind, _, shapes = options.scan.partition(":")
    return [f"{kind}:{shape}" for shape in shapes.split(",")]


def choose_platform(names: list[str]) -> None:
    """Tells JAX, before it starts, to leave the GPU alone, and to show the CPU as so many devices.

    Compiling for stand-ins needs no device.
    """
    if not names or names[0].startswith("gpu"):
        return
    os.environ["JAX_PLATFORMS"] = "cpu"
    kind, _, count = names[-1].partition(":")

    from podway.framework.devices import stand_in  # imports JAX, which reads JAX_PLATFORMS then

    if kind in stand_in.CHIPS:
        stand_in.prepare()
    if kind == "cpu" and count.isdigit():
        flag = f"--xla_force_host_platform_device_count={count}"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()


def schema(experiment: Experiment, workdir: str, options: Pod) -> Schema:
    """The declared sizes; without any, those of the dataset, which is built if need be."""
    from podway.framework.preflight.compile import declared

    if options.items is not None:
        check(
            not isinstance(experiment.data.examples, RowExamples),
            f"--items declares users with histories, and the examples of {experiment.name!r} are"
            " rows: leave it out, and the dataset says how large its tables are",
        )
        tables = experiment.data.tables
        return declared(options.items, options.users, options.history, tables)
    return stages.data(experiment, workdir, look=True).schema


# ------------------------------------------------------------------------------------------ text


def describe(report: Report, price: float | None = None) -> str:
    """The report as text."""
    layout = " × ".join(f"{axis} {size}" for axis, size in report.mesh.items() if size > 1)
    trainer = report.experiment.trainer
    sizes = ", ".join(f"{size:,} {name}s" for name, size in report.sizes.items())
    lines = [
        f"{report.experiment.name} on {report.topology}: {report.topology.chips} chips,"
        f" {report.topology.devices} devices, mesh {layout or 'of one device'}",
        f"batch {trainer.batch_size:,} in {trainer.accumulate} part(s), {trainer.precision},"
        f" remat {trainer.remat}; {sizes}",
        "",
        "the largest arrays of the state, bytes on a device",
        *(
            f"  {_size(array.bytes):>10}  {array.shape}  {array.name}  split by {array.split}"
            for array in report.state
        ),
        "",
        *_program("train step", report.train),
    ]
    if report.evaluate:
        lines += ["", *_program("evaluation", report.evaluate)]
    if report.train.times:
        lines += ["", *_prediction(report, price), "", report.assumptions]
    verdict = "FITS" if report.fits else "DOES NOT FIT"
    return "\n".join([*lines, "", f"{verdict}: {report.experiment.name} on {report.topology}"])


def _program(name: str, program: CompiledProgram) -> list[str]:
    usage = program.usage
    state = "" if usage.complete else " at least"
    verdict = "fits" if usage.fits else f"does not fit, {_size(usage.missing)} too many"
    if not usage.complete and not usage.missing:
        verdict = "does not fit, says the compiler"
    lines = [f"{name}: {verdict}; a device needs{state} {_size(usage.needed)} of"]
    lines[0] += f" {_size(usage.limit)}"
    lines += [f"  {_size(size):>10}  {part}" for part, size in usage.parts.items()]
    if program.largest:
        lines.append("  the largest arrays that it computes, on a device")
        lines += [
            f"  {_size(array.bytes):>10}  {array.shape}  {array.name}" for array in program.largest
        ]
    if program.times is None:
        return lines
    from podway.framework.preflight import collectives

    table = collectives.total(program.collectives)
    runs = sum(collective.times for collective in program.collectives)
    lines.append(f"  collectives, bytes that a device sends in one run ({runs:,.0f} of them)")
    for (network, kind, axes), size in table.items():
        lines.append(f"  {_size(size):>10}  {kind} along {axes}, {network.upper()}")
    if not table:
        lines.append(f"  {'–':>10}  none")
    if program.unknown_loops:
        loops = ", ".join(program.unknown_loops)
        lines.append(f"  loops of unknown length, counted once: {loops}")
    if program.kernels is not None:
        lines.append(f"  {program.kernels:,} kernels in one run")
    times = program.times
    parts = {
        "products": times.compute,
        "memory": times.memory,
        "ICI": times.ici,
        "DCN": times.dcn,
    }
    lines.append(
        "  predicted "
        + ", ".join(f"{part} {_seconds(value)}" for part, value in parts.items())
        + f"; bound by {times.bound}"
    )
    return lines


def _prediction(report: Report, price: float | None) -> list[str]:
    times = report.train.times
    assert times is not None
    if report.step_seconds is None or report.mfu is None:
        name = report.topology.accelerator.name
        return [f"predicted step: unknown, as no bandwidth between slices is known for {name}"]
    lines = [
        f"predicted step {_seconds(times.serial)} serial, {_seconds(times.overlapped)} overlapped;"
        f" {report.examples_per_second:,.0f} examples/s, MFU {100 * report.mfu:.1f} %"
    ]
    if price is not None:
        cost = report.cost_per_million(price)
        lines.append(
            f"predicted cost {cost:.4g} per million examples, at {price:g} per chip and hour"
        )
    return lines


def _advice(report: Report, tried: list[Report]) -> str:
    from podway.framework.preflight.report import difference

    lines = []
    for other in tried:
        usage, options = other.train.usage, difference(report.experiment, other.experiment)
        verdict = f"{_size(usage.missing)} too many"
        if other.fits:
            verdict = f"fits, predicted step {_seconds(other.step_seconds)}"
        lines.append(f"  {options}: {verdict}")
    if not lines:
        lines = ["  none: the state alone is too large, whatever the options"]
    if not any(other.fits for other in tried):
        lines.append("  Take more or larger chips, or a smaller model.")
    return "\n".join(["tried by compile, with the same result:", *lines])


def _print_scan(reports: list[Report], options: Options) -> None:
    from podway.framework.preflight.report import ASSUMPTIONS, scan_rows

    rows = scan_rows(reports, options.price_per_chip_hour)
    if options.plot:
        _plot(reports, epath.Path(options.plot))
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    first = reports[0]
    print(
        f"{first.experiment.name}: predicted weak scaling, {_per_device(first)} examples a device"
    )
    names = list(rows[0])
    table = [names, *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(names))]
    for row in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    print(f"\n{ASSUMPTIONS}")


def _plot(reports: list[Report], path: epath.Path) -> None:
    from podway.framework.page import chart, templates
    from podway.framework.preflight.report import ASSUMPTIONS, scan_rows

    rows = scan_rows(reports)
    charts = []
    for name in ("efficiency_percent", "step_ms", "ici_ms", "wire_mb", "memory_gb"):
        points = [(row["chips"], row[name]) for row in rows if row[name] is not None]
        if points:
            series = [chart.Series(name, points)]
            charts.append(chart.lines(f"{name} (predicted)", series, x="chips", log_x=True))
    title = f"{reports[0].experiment.name}: predicted weak scaling"
    page = templates.render("charts.html.j2", title=title, charts=charts, notes=[ASSUMPTIONS])
    path.write_text(page)


def _per_device(report: Report) -> str:
    return f"{report.experiment.trainer.batch_size / report.topology.devices:g}"


def _size(size: float) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size / scale:.2f} {unit}"
    return f"{size:.0f} B"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return f"{1e3 * seconds:.3g} ms"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


VERB = Verb(
    "compile for a pod: fits? how fast? what cost?",
    Preflight,
    run,
    example="podway preflight billion_items --topology v5e:16x16 --items 1000000000",
)
