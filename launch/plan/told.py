"""A plan as plain data and as text."""

import math
from typing import Any

from podway.launch.plan.defaults import NOT_COUNTED
from podway.launch.plan.figure import SAID, Figure
from podway.launch.plan.line import Line
from podway.launch.plan.plan import Check, Plan, compute
from podway.launch.plan.sensitivity import Effect

SHOWN = 12
"""Effects that the text shows."""
_VERDICTS = {True: "yes", False: "NO", None: "?"}


def amount(value: float) -> str:
    """A number with four significant digits, as people write it; "unknown" for NaN."""
    if math.isnan(value):
        return "unknown"
    if value == 0 or not 1e-3 <= abs(value) < 1e15:
        return f"{value:.4g}"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{round(value, 3 - math.floor(math.log10(abs(value)))):,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(value: float) -> str:
    """A sum; nothing for what costs nothing, "unknown" for NaN."""
    if math.isnan(value):
        return "unknown"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def why_unknown(plan: Plan, line: Line) -> str:
    """The unknown figures that a line's cost would need, and what would give them."""
    unknown = [figure for figure in plan.figures if not figure.known]
    sources = []
    for figure in unknown:
        others = {each.name: 1.0 for each in unknown if each is not figure}
        if math.isnan(_cost(plan, line, others)):
            sources.append(f"{figure.name}: {figure.source}")
    return "; ".join(sources)


def _cost(plan: Plan, line: Line, values: dict[str, float]) -> float:
    changed = {**plan.values, **values}
    same = (each for each in compute(changed) if (each.section, each.name) == key(line))
    return next(same).cost(changed)


def key(line: Line) -> tuple[str, str]:
    """What tells a line from the others."""
    return line.section, line.name


def to_json(plan: Plan, effects: tuple[Effect, ...]) -> dict[str, Any]:
    """All of it; what is unknown is null."""
    values = plan.values
    return {
        "experiment": plan.name,
        "currency": plan.currency,
        "total": plan.total,
        "by_section": plan.by_section,
        "cost_per_million_requests": _real(plan.cost_per_million),
        "complete": not plan.unpriced,
        "unknown": {
            f"{line.section}: {line.name}": why_unknown(plan, line) for line in plan.unpriced
        },
        "checks": [{"holds": check.holds, "said": check.said} for check in plan.checks],
        "lines": [
            {
                "section": line.section,
                "name": line.name,
                "amount": _real(line.value),
                "unit": line.unit,
                "how": line.how,
                "cost": _real(line.cost(values)) if line.price else None,
            }
            for line in plan.lines
        ],
        "figures": [
            {
                "name": figure.name,
                "value": _real(figure.value),
                "unit": figure.unit,
                "basis": figure.basis,
                "source": figure.source,
                "meaning": figure.meaning,
            }
            for figure in plan.figures
        ],
        "sensitivity": [
            {
                "figure": effect.figure.name,
                "low": effect.low,
                "high": effect.high,
                "total_low": effect.total_low,
                "total_high": effect.total_high,
            }
            for effect in effects
        ],
        "not_counted": list(NOT_COUNTED),
    }


def _real(value: float) -> float | None:
    return None if math.isnan(value) else value


# ------------------------------------------------------------------------------------------ text


def text(plan: Plan, effects: tuple[Effect, ...]) -> str:
    """The plan, for people."""
    return "\n".join(
        [
            f"{plan.name}, a month of 730 hours",
            "",
            *_lines(plan),
            "",
            *_total(plan),
            "",
            *(f"{_VERDICTS[check.holds]:>3}  {check.said}" for check in plan.checks),
            "",
            *_effects(plan, effects),
            "",
            "what it is computed of (--assume NAME=VALUE sets one)",
            *_columns([_figure(figure) for figure in plan.figures], right=(1,)),
        ]
    )


def _lines(plan: Plan) -> list[str]:
    rows, section, values = [["", "amount", "", plan.currency]], "", plan.values
    for line in plan.lines:
        if line.section != section:
            section = line.section
            rows.append([section, "", "", money(plan.by_section[section])])
        cost = money(line.cost(values)) if line.price else ""
        rows.append([f"  {line.name}", amount(line.value), line.unit, cost])
    return _columns(rows, right=(1, 3))


def _total(plan: Plan) -> list[str]:
    said = f"total: {money(plan.total)} {plan.currency} a month"
    if not math.isnan(plan.cost_per_million):
        said += f", {plan.cost_per_million:.3g} {plan.currency} per million requests"
    lines = [said]
    if plan.unpriced:
        lines.append("NOT in the total, as it is unknown:")
        for line in plan.unpriced:
            lines.append(f"  {line.section}, {line.name}: {why_unknown(plan, line)}")
    return [*lines, "not counted at all:", *(f"  {each}" for each in NOT_COUNTED)]


def _effects(plan: Plan, effects: tuple[Effect, ...]) -> list[str]:
    rows = [["figure", "from", "to", f"{plan.currency} at from", "at to"]]
    for effect in effects[:SHOWN]:
        rows.append(
            [
                effect.figure.name,
                amount(effect.low),
                amount(effect.high),
                money(effect.total_low),
                money(effect.total_high),
            ]
        )
    head = "what moves the total most, one at a time: rules of thumb × 0.5 to 2, others ± 25 %"
    return [head, *_columns(rows, right=(1, 2, 3, 4))]


def _figure(figure: Figure) -> list[str]:
    return [figure.name, amount(figure.value), figure.unit, basis(figure), _said(figure)]


def basis(figure: Figure) -> str:
    """What kind of source a figure has; of what is unknown there is none."""
    return SAID[figure.basis] if figure.known else "–"


def _said(figure: Figure) -> str:
    return f"{figure.meaning}: {figure.source}" if figure.source else figure.meaning


def _columns(rows: list[list[str]], right: tuple[int, ...]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return lines


def verdict(check: Check) -> str:
    """A check's answer in a word."""
    return _VERDICTS[check.holds]
