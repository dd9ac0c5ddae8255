"""The advice as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from podway.framework.comparison.evaluation import aligned
from podway.framework.page import text
from podway.launch.advise.advice import Advice
from podway.launch.advise.measure import Row


def table(rows: Sequence[Row], advice: Advice | None, metric: str) -> list[list[str]]:
    """A line for each candidate, below a head."""
    behind = advice.behind if advice else {}
    found = [["", "weights", "memory", "ms", "fits", metric, "less the best's"]]
    for row in rows:
        spread = behind.get(row.candidate.name)
        found.append(
            [
                row.candidate.name,
                text.size(row.weights),
                text.size(row.memory),
                f"{row.latency:.3g}",
                "yes" if row.fits else f"no: {', '.join(row.broken)}",
                "not trained" if row.worth is None else f"{row.worth.value:.4f}",
                ""
                if spread is None or (advice and row is advice.best)
                else f"{spread.mean:+.4f} [{spread.low:+.4f}, {spread.high:+.4f}]",
            ]
        )
    return found


def said(rows: Sequence[Row], advice: Advice | None, metric: str) -> str:
    """The table, and what follows from it."""
    lines = [aligned(table(rows, advice, metric)), ""]
    if advice is None:
        fitting = [row for row in rows if row.fits]
        lines.append(
            "nothing within the budget has been evaluated: give --train"
            if fitting
            else "nothing is within the budget: the smallest is"
            f" {min(rows, key=lambda row: row.memory).candidate.name}"
        )
    else:
        lines.append(f"take {advice.taken.candidate.name}: {advice.why}")
        unknown = [row for row in rows if row.fits and row.worth is None]
        if unknown:
            lines.append(
                f"{len(unknown)} that would fit have not been trained; --train trains them"
            )
    return "\n".join(lines)


def to_json(rows: Sequence[Row], advice: Advice | None, metric: str) -> dict[str, Any]:
    """All of it, as plain values."""
    return {
        "metric": metric,
        "candidates": [
            {
                "name": row.candidate.name,
                "family": row.candidate.family,
                "width": row.candidate.width,
                "format": row.candidate.format,
                "weights_bytes": row.weights,
                "memory_bytes": row.memory,
                "latency_ms": row.latency,
                "fits": row.fits,
                "value": None if row.worth is None else row.worth.value,
                "run": row.run,
            }
            for row in rows
        ],
        "take": None if advice is None else advice.taken.candidate.name,
        "best": None if advice is None else advice.best.candidate.name,
        "why": None if advice is None else advice.why,
    }
