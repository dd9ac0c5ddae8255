"""A plan as a page of HTML."""

import math
import pathlib

from podway.framework.page import chart, templates, whisker
from podway.framework.page.table import Cell, Table, cells
from podway.launch.plan import told
from podway.launch.plan.defaults import NOT_COUNTED
from podway.launch.plan.plan import Plan
from podway.launch.plan.sensitivity import Effect

_HERE = pathlib.Path(__file__).parent
_DRAWN = 16


def render(plan: Plan, effects: tuple[Effect, ...]) -> str:
    """The page."""
    values, currency = plan.values, plan.currency
    by_section = plan.by_section
    tiles = [
        ("total", f"{told.money(plan.total)} {currency}", "a month"),
        ("per million requests", _short(plan.cost_per_million), currency),
        *(
            (line.name, told.amount(line.value), line.unit)
            for line in plan.lines
            if line.name in ("chips", "replicas at the peak", "nodes")
        ),
    ]
    bars = chart.bars(
        f"{currency} a month, by section",
        chart.Bars([*by_section], {"cost": [*by_section.values()]}, ticks=_ticks(by_section)),
    )
    return templates.render(
        "plan.html.j2",
        _HERE,
        title=f"Plan of {plan.name}",
        tiles=tiles,
        charts=[bars, _swings(plan, effects)],
        unknown=[
            f"{line.section}, {line.name}: {told.why_unknown(plan, line)}" for line in plan.unpriced
        ],
        checks=[(told.verdict(check), check.said) for check in plan.checks],
        lines=Table(
            ["", "", "amount", "unit", f"{currency} a month", "how"],
            [
                cells(
                    [
                        line.section,
                        line.name,
                        told.amount(line.value),
                        line.unit,
                        told.money(line.cost(values)) if line.price else "",
                        line.how,
                    ]
                )
                for line in plan.lines
            ],
        ),
        figures=Table(
            ["figure", "value", "unit", "basis", "what it is", "source"],
            [
                [
                    Cell(figure.name),
                    Cell(told.amount(figure.value), "" if figure.known else "warn"),
                    *cells([figure.unit, told.basis(figure), figure.meaning, figure.source]),
                ]
                for figure in plan.figures
            ],
        ),
        not_counted=NOT_COUNTED,
    )


def _swings(plan: Plan, effects: tuple[Effect, ...]) -> str:
    rows = [
        whisker.Whisker(
            effect.figure.name,
            plan.total,
            min(effect.total_low, effect.total_high),
            max(effect.total_low, effect.total_high),
            shown=f"± {told.money(effect.swing / 2)}",
            told=f"{told.amount(effect.low)} to {told.amount(effect.high)} {effect.figure.unit}",
        )
        for effect in effects[:_DRAWN]
    ]
    words = "rules of thumb × 0.5 to 2, others ± 25 %, one at a time"
    return whisker.whiskers(f"Total in {plan.currency} a month", rows, words=words)


def _ticks(by_section: dict[str, float]) -> list[tuple[float, str]]:
    """All names: there is just room for them."""
    return [((at + 0.5) / len(by_section), name) for at, name in enumerate(by_section)]


def _short(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}"
