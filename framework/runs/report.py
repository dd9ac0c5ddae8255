"""The page of a run: where its time went, and a chart of each metric."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.framework.page import chart, templates
from podway.framework.page.table import Cell, Table
from podway.framework.runs import goodput, telemetry

_HERE = pathlib.Path(__file__).parent
_COLOURS = {
    "step": 2,
    "compile": 0,
    "input": 1,
    "evaluate": 3,
    "checkpoint": 6,
    "restart": 4,
    "other": 7,
}
"""Of the phases of goodput.py."""


@dataclasses.dataclass(frozen=True)
class Goodput:
    """What goodput.json says.

    Attributes:
      percent: of the time that went into steps that count.
      told: the whole time, in words.
      parts: of the bar: class of the colour, phase, share, seconds.
      table: the same in numbers.
    """

    percent: float
    told: str
    parts: list[tuple[str, str, float, str]]
    table: Table


def write(path: epath.Path, title: str, directory: epath.Path) -> None:
    """Writes the page of a run that lies in a directory: of its goodput.json and metrics.jsonl."""
    times = goodput.read(directory / "goodput.json")
    text = templates.render(
        "report.html.j2",
        _HERE,
        title=title,
        goodput=_goodput(times) if times else None,
        charts=[
            chart.lines(name, [chart.Series(name, points)], x="step")
            for name, points in _series(directory).items()
        ],
    )
    path.write_text(text)


def _series(directory: epath.Path) -> dict[str, list[tuple[float, float]]]:
    """Metric → its (step, value)."""
    series: dict[str, list[tuple[float, float]]] = {}
    for record in telemetry.read(directory / "metrics.jsonl"):
        for name, value in record.items():
            if name != "step":
                series.setdefault(name, []).append((record["step"], value))
    return series


def _goodput(record: Mapping[str, Any]) -> Goodput:
    seconds = {phase: record["seconds"][phase] for phase in _COLOURS}
    total = sum(seconds.values()) or 1.0
    parts = [
        (chart.colour(_COLOURS[phase]), phase, spent / total, f"{spent:.1f} s")
        for phase, spent in seconds.items()
    ]
    rows = [
        [Cell(phase, f"dot {colour}"), Cell(told), Cell(f"{100 * share:.1f} %")]
        for colour, phase, share, told in parts
    ]
    told = (
        f"{total:.1f} s in {record['sessions']} session(s);"
        f" {record['steps_redone']} steps were done again after a crash."
    )
    return Goodput(record["goodput_percent"], told, parts, Table(("", "seconds", "share"), rows))
