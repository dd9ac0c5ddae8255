"""Reports: one HTML file with plots, no script and nothing to download."""

import html
from collections.abc import Iterable, Sequence

from etils import epath

from framework import telemetry

WIDTH, HEIGHT, MARGIN = 640, 220, 48


def write(path: epath.Path, title: str, metrics: epath.Path) -> None:
    """Plots every metric of a metrics.jsonl against the step."""
    series: dict[str, list[tuple[float, float]]] = {}
    for record in telemetry.read(metrics):
        for name, value in record.items():
            if name != "step":
                series.setdefault(name, []).append((record["step"], value))
    page(path, title, [line_plot(name, points) for name, points in series.items()])


def page(path: epath.Path, title: str, parts: Iterable[str]) -> None:
    """Writes a page of HTML."""
    body = "\n".join(parts)
    path.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>\n"
        "<style>body{font:15px sans-serif;margin:2em;max-width:1400px}"
        "figure{display:inline-block;margin:0 1em 1em 0}figcaption{font-weight:bold}</style>\n"
        f"<h1>{html.escape(title)}</h1>\n{body}\n</html>\n"
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
