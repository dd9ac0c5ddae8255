"""A sweep in words: lines for the terminal, and a report in Markdown."""

import math
from collections.abc import Mapping, Sequence

from podway.framework.comparison.evaluation import aligned
from podway.framework.config.sweep import Value
from podway.framework.page import text
from podway.launch.cost import bill as bills
from podway.launch.cost import rate
from podway.launch.cost.bill import Bill
from podway.launch.sweep import outcome, quantities
from podway.launch.sweep.outcome import Outcome
from podway.launch.sweep.plan import Plan
from podway.launch.sweep.trial import Trial

_MARKS = {"parameters": "parameters", "compute": "FLOP"}


def line(trial: Trial, plan: Plan) -> str:
    """What became of a trial."""
    metric, _ = quantities.metric_of(plan.experiment)
    match trial.state:
        case "complete":
            said = f"{metric} {number(trial.quality)}"
            said += "".join(
                f", {name} {amount(name, trial.amount(name), plan.currency)}"
                for name in plan.sweep.costs
            )
        case "pruned":
            said = f"pruned at step {max(trial.validation, default=0)}"
            said += f", {metric} {number(trial.quality)}" if trial.validation else ""
        case state:
            said = f"{state}: {trial.reason}"
    return f"trial {trial.number}: {said} ({values(trial.values)})"


def values(given: Mapping[str, Value]) -> str:
    """Values of fields."""
    return ", ".join(
        f"{path} {value:.4g}" if isinstance(value, float) else f"{path} {value}"
        for path, value in given.items()
    )


def number(value: float) -> str:
    """A metric."""
    return f"{value:.4f}" if math.isfinite(value) else "–"


def amount(name: str, value: float, currency: str) -> str:
    """A quantity with its unit."""
    unit = quantities.unit(name, currency)
    return f"{text.number(value)} {unit}".rstrip() if math.isfinite(value) else "–"


def money(value: float, currency: str) -> str:
    """An amount of money, of which a small one is not nothing."""
    return f"{text.number(value)} {currency}" if math.isfinite(value) else "unknown"


def spent(bill: Bill, plan: Plan) -> list[str]:
    """What trainings have cost, and by which prices; and those of the cost of answers."""
    hours = ", ".join(f"{value / 3600:.3g} h of {name}" for name, value in bill.seconds.items())
    lines = [
        f"Trainings: {money(bill.total, bill.currency)}, of which the other seeds"
        f" {money(bill.seeds, bill.currency)} ({hours or 'none yet'}): {bills.FORMULA}."
    ]
    lines += [f"- {each.told()}" for each in bill.rates.values()]
    if plan.core is not None and set(quantities.TIMED) & set(plan.sweep.measured):
        lines += ["", f"Cost: {rate.FORMULA}.", f"- {plan.core.told()}"]
    return lines


def counts(trials: Sequence[Trial]) -> str:
    """How many trials came to what."""
    states = [each.state for each in trials]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))


def decided(found: Outcome, plan: Plan) -> str:
    """The candidates beside each other, and the winner as overrides."""
    decision = found.decision
    assert decision is not None
    metric, _ = quantities.metric_of(plan.experiment)
    seeds = plan.sweep.winner.seeds
    names = [*plan.sweep.costs, "parameters"]
    names = list(dict.fromkeys(names))
    rows = [["trial", f"{metric}, {seeds} seeds", "behind", "± error", *names, ""]]
    by_number = {each.number: each for each in found.trials}
    for at, each in sorted(decision.standings.items(), key=lambda pair: pair[1].behind):
        marks = [*(["best"] if at == decision.best else []), *(["as good"] if each.as_good else [])]
        marks += ["wins"] if at == decision.winner else []
        rows.append(
            [
                str(at),
                number(each.mean),
                number(each.behind),
                number(each.error),
                *(amount(name, by_number[at].amount(name), plan.currency) for name in names),
                ", ".join(marks),
            ]
        )
    return (
        f"{aligned(rows)}\n"
        f"winner: trial {decision.winner}, {rule(plan)}\n"
        f"  {outcome.overrides(found.values)}"
    )


def rule(plan: Plan) -> str:
    """The rule of the winner."""
    errors = plan.sweep.winner.errors
    return (
        f"the cheapest candidate within {errors:g} standard error{'s' * (errors != 1)} of the best"
    )


def markdown(found: Outcome, plan: Plan) -> str:
    """The report."""
    metric, _ = quantities.metric_of(plan.experiment)
    timed = [name for name in quantities.TIMED if any(name in t.quantities for t in found.trials)]
    limited = [each.quantity for each in plan.sweep.limits]
    names = list(dict.fromkeys([*plan.sweep.costs, *limited, *timed]))
    paths = [each.field for each in plan.sweep.space]
    bill = found.bill
    priced = [] if bill is None else ["training cost"]
    head = ["trial", "state", metric, "step", *names, *priced, *paths, ""]
    lines = [
        f"# Sweep of {plan.experiment.name} {plan.version}",
        "",
        f"{len(found.trials)} trials: {counts(found.trials)}.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
    ]
    for each in found.trials:
        marks = ["front"] if each.number in found.front else []
        marks += ["winner"] if found.decision and each.number == found.decision.winner else []
        cells = [
            str(each.number),
            each.state,
            number(each.quality),
            str(max(each.validation, default="–")),
            *(amount(name, each.amount(name), plan.currency) for name in names),
            *([] if bill is None else [money(bill.trials[each.number], bill.currency)]),
            *(values({"": each.values[path]}).strip() if path in each.values else "–"
              for path in paths),
            ", ".join(marks) or each.reason.replace("|", "/").replace("\n", " "),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    lines += [] if bill is None else ["", *spent(bill, plan)]
    if found.decision:
        lines += [
            "",
            "```",
            decided(found, plan),
            "```",
            "",
            f"Test split of run `{found.run}`:",
            "",
        ]
        lines += [
            f"- {name}: {number(cell['value'])}"
            + (f" [{number(cell['low'])}, {number(cell['high'])}]" if "low" in cell else "")
            for name, cell in found.test.items()
            if "users" not in cell
        ]
    return "\n".join([*lines, ""])
