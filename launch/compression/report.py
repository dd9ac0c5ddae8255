"""The report of a compression, as JSON, Markdown and a page; an artefact beside the others."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from etils import epath

from podway.framework import artifact, codec
from podway.framework.comparison.evaluation import aligned
from podway.framework.page import chart, table, templates, text, whisker
from podway.launch.compression.measure import Quality, Row
from podway.launch.cost import rate
from podway.launch.cost.rate import Rate
from podway.launch.tracking import others

KIND = "compression"
FOLDER = "compressions"
"""In the workdir: NAME/VERSION/report.{json,md,html}."""
_HERE = pathlib.Path(__file__).parent


def write(rows: Sequence[Row], workdir: epath.PathLike, core: Rate) -> epath.Path:
    """Writes the report of a chain, the first row of which is the uncompressed model.

    `core` is what an hour of a core costs. Returns its folder, WORKDIR/compressions/NAME/VERSION:
    that of the last run.
    """
    last = rows[-1]
    name, run = last.made.experiment.name, last.made.run.name
    target = epath.Path(workdir) / FOLDER / name / run
    if artifact.exists(target):
        target.rmtree()  # it is measured anew; the run is the same
    content = to_json(rows, core)
    with artifact.staging(target) as stage:
        (stage / "report.json").write_text(codec.json_text(content, indent=1))
        (stage / "report.md").write_text(markdown(rows, core))
        (stage / "report.html").write_text(page(rows, core))
        others.write(
            stage,
            name=name,
            version=run,
            run=run,
            config={"steps": [row.made.step for row in rows[1:]]},
            metrics=_headline(rows),
            facts={
                "page": str(target / "report.html"),
                "parent_run": rows[0].made.run.name,
                "steps": " → ".join(row.made.step for row in rows[1:]),
                "model_version": str(last.made.number),
            },
            parts=[_told(row, rows[0]) for row in rows],
        )
        artifact.commit(
            stage,
            kind=KIND,
            name=name,
            version=run,
            config={"steps": [row.made.step for row in rows[1:]]},
            inputs={"run": run, "parent": rows[0].made.run.name},
            code="",
            details={"versions": [row.made.number for row in rows]},
        )
    return target


def _told(row: Row, first: Row) -> dict[str, Any]:
    """A model of the chain, as part of what is told of the compression."""
    return {
        "version": row.made.run.name,
        "config": {"step": row.made.step or "uncompressed"},
        "metrics": _headline([first, row])
        | {"weights_bytes": row.weights, "disk_bytes": row.disk}
        | {"core_ms": row.core}
        | {f"latency_ms_{size}": each.p50 for size, each in row.latency.items()},
        "curve": {},
        "facts": {
            "step": row.made.step or "uncompressed",
            "run": row.made.run.name,
            "model_version": str(row.made.number),
            "parity": row.parity,
        },
    }


def _headline(rows: Sequence[Row]) -> dict[str, float]:
    first, last = rows[0], rows[-1]
    found = {
        "weights_ratio": first.weights / last.weights,
        "disk_ratio": first.disk / last.disk,
        **{f"latency_ratio_{size}": each.ratio for size, each in last.latency.items()},
        **{name: each.value for name, each in last.quality.items() if "[" not in name},
    }
    if first.memory and last.memory:
        found["memory_ratio"] = first.memory / last.memory
    return found


def to_json(rows: Sequence[Row], core: Rate) -> dict[str, Any]:
    """All of it, as plain values."""
    return {
        "name": rows[0].made.experiment.name,
        "price": {"formula": rate.FORMULA, **dataclasses.asdict(core)},
        "models": [
            {
                "step": row.made.step,
                "run": row.made.run.name,
                "version": row.made.number,
                "disk_bytes": row.disk,
                "weights_bytes": row.weights,
                "memory_bytes": row.memory,
                "core_ms": row.core,
                "cost": None if core.amount is None else rate.of_answers(row.core, core),
                "flops": row.flops,
                "latency_ms": {
                    str(size): dataclasses.asdict(each) | {"ratio": each.ratio}
                    for size, each in row.latency.items()
                },
                "quality": {
                    name: dataclasses.asdict(each) | {"relative": each.relative}
                    for name, each in row.quality.items()
                },
                "parity": row.parity,
                "chip": {str(size): dataclasses.asdict(each) for size, each in row.chip.items()},
            }
            for row in rows
        ],
    }


def markdown(rows: Sequence[Row], core: Rate) -> str:
    """The report for people: a table of what it takes, and one of what it is worth."""
    name = rows[0].made.experiment.name
    parts = [f"# Compression of {name}", "", *_markdown(takes(rows, core)), "", *_priced(core), ""]
    parts += [*_markdown(on_chip(rows)), "", _ROOF, ""] if rows[0].chip else []
    for row in rows[1:]:
        parts += [f"## {row.made.step}: quality", "", *_markdown(worth(row)), ""]
        parts += [f"Export: {row.parity}.", ""] if row.parity else []
    return "\n".join(parts)


def summary(rows: Sequence[Row], core: Rate) -> str:
    """What is printed: the table of what it takes, and what the last model is worth."""
    own = [name for name in rows[-1].quality if "[" not in name]
    return "\n".join(
        [
            aligned(takes(rows, core)),
            *(["", aligned(on_chip(rows))] if rows[0].chip else []),
            "",
            aligned([line for line in worth(rows[-1]) if line[0] in ("", *own)]),
        ]
    )


def takes(rows: Sequence[Row], core: Rate) -> list[list[str]]:
    """Size, memory, operations and time of each model, and their ratios to the first."""
    sizes = [*rows[0].latency]
    head = ["", "version", "weights", "on disk", "in memory", "MFLOP"]
    priced = [] if core.amount is None else [f"{core.currency} a million"]
    found = [head + [f"p50 / p99 ms, {_rows(size)}" for size in sizes] + priced]
    for row in rows:
        first = rows[0]
        found.append(
            [
                row.made.step or "uncompressed",
                str(row.made.number),
                _of_first(text.size(row.weights), first.weights, row.weights, row is first),
                _of_first(text.size(row.disk), first.disk, row.disk, row is first),
                "–"
                if row.memory is None or first.memory is None
                else _of_first(text.size(row.memory), first.memory, row.memory, row is first),
                "–" if row.flops is None else f"{row.flops / 1e6:,.2f}",
                *(
                    f"{row.latency[size].p50:.2f} / {row.latency[size].p99:.2f}"
                    + ("" if row is first else f" (× {row.latency[size].ratio:.2f})")
                    for size in sizes
                ),
                *(text.number(rate.of_answers(row.core, core)) for _ in priced),
            ]
        )
    return found


def on_chip(rows: Sequence[Row]) -> list[list[str]]:
    """What an answer takes on the chip that was asked for, beside the first model's."""
    first = rows[0].chip
    found = [["on the chip", *(f"MB / µs, {_rows(size)}" for size in first)]]
    for row in rows:
        found.append(
            [
                row.made.step or "uncompressed",
                *(
                    f"{each.bytes / 1e6:.2f} / {each.microseconds:.1f}"
                    + ("" if row is rows[0] else f" (÷ {first[size].bytes / each.bytes:.2f})")
                    for size, each in row.chip.items()
                ),
            ]
        )
    return found


_ROOF = (
    "On the chip: bytes to and from its memory, and each instruction of the compiled program at the"
    " chip's peaks. No answer takes less; nothing was timed."
)


def _priced(core: Rate) -> list[str]:
    """How the price of a million answers is made, or what would make it known."""
    return [f"A million answers of one row: {rate.FORMULA}.", f"{core.told()}."]


def _rows(size: int) -> str:
    return f"{size} row" if size == 1 else f"{size} rows"


def _of_first(shown: str, first: float, own: float, alone: bool) -> str:
    return shown if alone or not own else f"{shown} (÷ {first / own:.2f})"


def worth(row: Row) -> list[list[str]]:
    """Each metric beside the first model's, with the interval of their difference."""
    found = [["", "uncompressed", "compressed", "difference", "95 % interval", "relative"]]
    for name, each in row.quality.items():
        spread = each.difference
        found.append(
            [
                name,
                f"{each.first:.4f}",
                f"{each.value:.4f}",
                f"{spread.mean:+.4f}",
                f"[{spread.low:+.4f}, {spread.high:+.4f}]",
                f"{100 * each.relative:+.2f} %",
            ]
        )
    return found


def page(rows: Sequence[Row], core: Rate) -> str:
    """The report as HTML, with what it is drawn of."""
    steps = [row.made.step or "uncompressed" for row in rows]
    metrics = [name for name in rows[-1].quality if "[" not in name]
    return templates.render(
        "compression.html.j2",
        _HERE,
        title=f"Compression of {rows[0].made.experiment.name}",
        tiles=_tiles(rows),
        takes=_table(takes(rows, core)),
        priced=_priced(core),
        chip=_table(on_chip(rows)) if rows[0].chip else None,
        roof=_ROOF,
        figures=[
            chart.bars(
                "bytes of the weights",
                chart.Bars(steps, {"weights": [row.weights for row in rows]}),
            ),
            chart.bars(
                "time of an answer, times the uncompressed model's (medians, taking turns)",
                chart.Bars(
                    steps[1:],
                    {
                        _rows(size): [row.latency[size].ratio for row in rows[1:]]
                        for size in rows[0].latency
                    },
                ),
            ),
        ],
        quality=[
            whisker.whiskers(
                name,
                [
                    _whisker(row.made.step, row.quality[name], at)
                    for at, row in enumerate(rows[1:], 1)
                    if name in row.quality
                ],
                zero=True,
                words="less the uncompressed model's",
            )
            for name in metrics
        ],
        tables=[(row.made.step, _table(worth(row)), row.parity) for row in rows[1:]],
    )


def _tiles(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    first, last = rows[0], rows[-1]
    name = next(iter(last.quality), "")
    found = [("weights", f"÷ {first.weights / last.weights:.2f}", text.size(last.weights))]
    if first.memory and last.memory:
        found.append(("memory", f"÷ {first.memory / last.memory:.2f}", text.size(last.memory)))
    for size, each in last.latency.items():
        found.append((f"time, {_rows(size)}", f"× {each.ratio:.2f}", f"{each.p50:.2f} ms"))
    if name:
        each = last.quality[name]
        found.append((name, f"{100 * each.relative:+.2f} %", f"{each.value:.4f}"))
    return found


def _whisker(step: str, each: Quality, colour: int) -> whisker.Whisker:
    spread = each.difference
    return whisker.Whisker(
        step, spread.mean, spread.low, spread.high, f"{spread.mean:+.4f}", colour=colour
    )


def _table(lines: Sequence[Sequence[str]]) -> table.Table:
    head, *rows = lines
    return table.Table(head, [table.cells(row) for row in rows])


def _markdown(lines: Sequence[Sequence[str]]) -> list[str]:
    head, *rows = lines
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *escaped)]
