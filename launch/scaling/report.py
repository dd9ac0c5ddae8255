"""What a study found, as text, as JSON and as a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from podway.framework.comparison.evaluation import aligned
from podway.framework.page import chart, templates, text
from podway.launch.scaling.grid import Axis
from podway.launch.scaling.law import LEAST, Fitted
from podway.launch.scaling.study import UNITS, Point

TIMES = (2, 10)
"""How many times as much as was measured is looked at."""
Laws = Mapping[Axis, Fitted | None]


def said(points: Sequence[Point], laws: Laws, metric: str) -> str:
    """A line for each amount, and what each law says of more."""
    rows = [["axis", "amount", "share", f"validation {metric}", "seeds"]]
    seen: list[tuple[Axis, float]] = [(p.place.axis, p.amount) for p in points]
    for axis, amount in dict.fromkeys(seen):
        own = [p for p in points if (p.place.axis, p.amount) == (axis, amount)]
        values = [p.quality for p in own]
        rows.append(
            [
                axis,
                f"{text.number(amount)} {UNITS[axis]}",
                f"{100 * own[0].place.share:.3g} %",
                f"{np.mean(values):.4f}",
                f"{len(values)}",
            ]
        )
    lines = [aligned(rows), ""]
    for axis, fitted in laws.items():
        lines.append(_line(axis, fitted, [p for p in points if p.place.axis == axis], metric))
    return "\n".join(lines)


def _line(axis: Axis, fitted: Fitted | None, points: Sequence[Point], metric: str) -> str:
    if fitted is None:
        return f"{axis}: {LEAST} different amounts or more give a law; give --points {LEAST}"
    law, most = fitted.law, max(p.amount for p in points)
    if not law.gap:
        return f"{axis}: {metric} does not get better with more of it"
    told = [_more(fitted, most, times) for times in TIMES]
    return (
        f"{axis}: {metric} = {law.limit:.4f} {'−' if law.sign > 0 else '+'} {law.gap:.4f} ·"
        f" ({UNITS[axis]} / {text.number(law.unit)})^−{law.rate:.2f}; {', '.join(told)}"
    )


def _more(fitted: Fitted, most: float, times: int) -> str:
    at = np.array([times * most])
    low, high = fitted.interval(at)
    return f"{times} × as much: {fitted.law.at(at)[0]:.4f} [{low[0]:.4f}, {high[0]:.4f}]"


def to_json(points: Sequence[Point], laws: Laws, metric: str) -> dict[str, Any]:
    """All of it, as plain values."""
    return {
        "metric": metric,
        "points": [
            {
                "axis": point.place.axis,
                "share": point.place.share,
                "amount": point.amount,
                "seed": point.place.experiment.trainer.seed,
                "quality": point.quality,
                "run": point.run,
            }
            for point in points
        ],
        "laws": {
            axis: None
            if fitted is None
            else {
                "limit": fitted.law.limit,
                "gap": fitted.law.gap,
                "rate": fitted.law.rate,
                "unit": fitted.law.unit,
                "more": [_extrapolated(fitted, times) for times in TIMES],
            }
            for axis, fitted in laws.items()
        },
    }


def _extrapolated(fitted: Fitted, times: int) -> dict[str, float]:
    at = np.array([times * fitted.law.unit])
    low, high = fitted.interval(at)
    return {
        "times": times,
        "value": float(fitted.law.at(at)[0]),
        "low": float(low[0]),
        "high": float(high[0]),
    }


def page(name: str, points: Sequence[Point], laws: Laws, metric: str) -> str:
    """A chart for each axis: the runs, the law, and its interval up to ten times as much."""
    charts = []
    for axis, fitted in laws.items():
        own = [p for p in points if p.place.axis == axis and math.isfinite(p.quality)]
        series = [_seed(own, seed) for seed in dict.fromkeys(p.place.seed for p in own)]
        if fitted is not None:
            x = np.geomspace(min(p.amount for p in own), TIMES[-1] * fitted.law.unit, 60)
            low, high = fitted.interval(x)
            series.append(
                chart.Series(
                    "law",
                    list(zip(x, fitted.law.at(x), strict=True)),
                    list(zip(x, low, high, strict=True)),
                )
            )
        charts.append(
            chart.lines(
                f"{metric} by {axis}", series, x=UNITS[axis], y=f"validation {metric}", log_x=True
            )
        )
    notes = [
        _line(axis, fitted, [p for p in points if p.place.axis == axis], metric)
        for axis, fitted in laws.items()
    ]
    return templates.render(
        "charts.html.j2", title=f"Scaling of {name}", charts=charts, notes=notes
    )


def _seed(points: Sequence[Point], seed: int) -> chart.Series:
    own = sorted((p.amount, p.quality) for p in points if p.place.seed == seed)
    return chart.Series(f"seed {seed}", own)
