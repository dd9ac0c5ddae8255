"""Reports: one HTML file with plots, no script and nothing to download."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from podway.framework.runs import goodput, telemetry

WIDTH, HEIGHT, MARGIN = 640, 220, 48


COLOURS = {
    "step": "#2a7",
    "compile": "#06c",
    "input": "#e90",
    "evaluate": "#84c",
    "checkpoint": "#c63",
    "restart": "#c22",
    "other": "#999",
}
"""Of the phases of framework/runs/goodput.py."""


def write(path: epath.Path, title: str, directory: epath.Path) -> None:
    """Plots where the time of a run went, and every metric of its metrics.jsonl by step."""
    series: dict[str, list[tuple[float, float]]] = {}
    for record in telemetry.read(directory / "metrics.jsonl"):
        for name, value in record.items():
            if name != "step":
                series.setdefault(name, []).append((record["step"], value))
    times = goodput.read(directory / "goodput.json")
    plots = [line_plot(name, points) for name, points in series.items()]
    page(path, title, [*([time_table(times)] if times else []), *plots])


def page(path: epath.Path, title: str, parts: Iterable[str]) -> None:
    """Writes a page of HTML."""
    body = "\n".join(parts)
    path.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>\n"
        "<style>body{font:15px sans-serif;margin:2em;max-width:1400px}"
        "figure{display:inline-block;margin:0 1em 1em 0}figcaption{font-weight:bold}"
        "td{padding:0 1em 0 0}</style>\n"
        f"<h1>{html.escape(title)}</h1>\n{body}\n</html>\n"
    )


def time_table(record: Mapping[str, Any]) -> str:
    """Where the time went: a bar and a table of what goodput.json says."""
    seconds = {phase: record["seconds"][phase] for phase in COLOURS}
    total = sum(seconds.values()) or 1.0
    bar, at = "", 0.0
    for phase, spent in seconds.items():
        width = 2 * WIDTH * spent / total
        bar += f'<rect x="{at:.1f}" width="{width:.1f}" height="24" fill="{COLOURS[phase]}"/>'
        at += width
    rows = "".join(
        f'<tr><td style="color:{COLOURS[phase]}">■ {phase}<td>{spent:.1f} s'
        f"<td>{100 * spent / total:.1f} %"
        for phase, spent in seconds.items()
    )
    return (
        f"<h2>Goodput {record['goodput_percent']:.1f} %</h2><p>{total:.1f} s in"
        f" {record['sessions']} session(s); {record['steps_redone']} steps were done again after a"
        f' crash.</p>\n<svg width="{2 * WIDTH}" height="24" role="img">{bar}</svg>'
        f"<table>{rows}</table>\n"
    )


def line_plot(name: str, points: Sequence[tuple[float, float]], across: str = "step") -> str:
    """An SVG figure of (step, value) points, its axes labelled with the extremes."""
    steps, values = zip(*points, strict=True)
    left, right, low, high = min(steps), max(steps), min(values), max(values)

    def place(step: float, value: float) -> str:
        x = MARGIN + (step - left) / ((right - left) or 1) * (WIDTH - 2 * MARGIN)
        y = HEIGHT - MARGIN - (value - low) / ((high - low) or 1) * (HEIGHT - 2 * MARGIN)
        return f"{x:.1f},{y:.1f}"

    def text(x: float, y: float, anchor: str, content: str) -> str:
        return f"<text x={x} y={y} text-anchor={anchor} font-size=12>{content}</text>"

    line = " ".join(place(*point) for point in points)
    dots = "".join(
        '<circle cx="{}" cy="{}" r="2" fill="#06c"/>'.format(*place(*point).split(","))
        for point in points
    )
    bottom = HEIGHT - MARGIN
    return (
        f"<figure><figcaption>{html.escape(name)}</figcaption>"
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img">'
        f'<path d="M{MARGIN} {MARGIN}V{bottom}H{WIDTH - MARGIN}" fill="none" stroke="#999"/>'
        f'<polyline points="{line}" fill="none" stroke="#06c"/>{dots}'
        + text(MARGIN - 4, MARGIN, "end", f"{high:.4g}")
        + text(MARGIN - 4, bottom, "end", f"{low:.4g}")
        + text(MARGIN, bottom + 16, "start", f"{across} {left:g}")
        + text(WIDTH - MARGIN, bottom + 16, "end", f"{across} {right:g}")
        + "</svg></figure>"
    )
