"""The page of a sweep: points, front, parallel coordinates, history, and a table; all in one file.

A browser draws it, by sweep.js, from the JSON that it holds; nothing is loaded.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from podway.framework import codec
from podway.framework.page import table, templates, text

_HERE = pathlib.Path(__file__).parent
UNTIMED = "no answer was timed: --objectives quality cost does so, or --limits cost=AMOUNT"
"""Where no trial has a cost."""


def render(content: Mapping[str, Any]) -> str:
    """The page of what `outcome.to_json` says."""
    trials, winner = content["trials"], content["winner"]
    states = [each["state"] for each in trials]
    metric = content["metric"]
    tiles: list[tuple[str, ...]] = [("trials", f"{len(trials):,}")]
    tiles += [(state, f"{states.count(state):,}") for state in sorted(set(states))]
    if winner:
        standing = winner["standings"][str(winner["number"])]
        tiles.append(("winner", f"trial {winner['number']}", f"{metric} {standing['mean']:.4f}"))
        if cell := winner["test"].get(metric):
            span = f"[{cell['low']:.4f}, {cell['high']:.4f}]" if "low" in cell else ""
            tiles.append((f"{metric}, test", f"{cell['value']:.4f}", span))
    shares = content.get("importance") or {}
    names = ("trials", "front", "metric", "largest_is_best", "units")
    shown = {name: content[name] for name in names}
    shown |= {
        "winner": winner["number"] if winner else None,
        "fields": [each["field"] for each in content["sweep"]["space"]],
        "log": [each["field"] for each in content["sweep"]["space"] if each.get("log")],
        "costs": [name for name in content["sweep"]["objectives"] if name != "quality"],
        "limits": {each["quantity"]: each["most"] for each in content["sweep"]["limits"]},
    }
    return templates.render(
        "sweep.html.j2",
        _HERE,
        script=templates.source(_HERE / "keys.js") + templates.source(_HERE / "sweep.js"),
        title=f"Sweep of {content['name']}",
        version=content["version"],
        data=codec.json_text(shown),
        tiles=tiles,
        overrides=winner["overrides"] if winner else "",
        candidates=_candidates(content) if winner else None,
        importance=[(name, share, f"{share:.0%}") for name, share in shares.items()],
        money=_money(content),
        rule=_rule(content["sweep"]["winner"]["errors"]),
        metric=metric,
    )


def _money(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """The amounts and the prices behind them, in words."""
    found = content.get("money")
    if found is None:
        return None
    timed = any("core" in each["quantities"] for each in content["trials"])
    answers = found["answers"]["formula"] if timed else UNTIMED
    of, currency = found["trainings"], found["currency"]

    def amount(name: str) -> str:
        return "unknown" if of[name] is None else f"{text.number(of[name])} {currency}"

    return {
        "tiles": [
            ("trainings", amount("total"), f"of them the other seeds {amount('seeds')}"),
            *((f"device time, {n}", f"{s / 3600:.3g} h", "") for n, s in of["seconds"].items()),
        ],
        "told": [
            ("training cost", of["formula"], of["prices"]),
            ("cost", answers, [found["answers"]["price"]]),
        ],
    }


def _rule(errors: float) -> str:
    return f"the cheapest candidate within {errors:g} standard error{'s' * (errors != 1)}"


def _candidates(content: Mapping[str, Any]) -> table.Table:
    winner = content["winner"]
    trials = {each["number"]: each for each in content["trials"]}
    costs = [name for name in content["sweep"]["objectives"] if name != "quality"]
    names, units = list(dict.fromkeys([*costs, "parameters"])), content["units"]
    rows = []
    order = sorted(winner["standings"].items(), key=lambda pair: pair[1]["behind"])
    for number, each in order:
        at = int(number)
        marks = ["best"] if at == winner["best"] else []
        marks += ["wins"] if at == winner["number"] else []
        known = trials[at]["quantities"]
        amounts = [f"{text.number(known.get(name))} {units.get(name, '')}" for name in names]
        told = f"{each['behind']:.4f} ± {each['error']:.4f}"
        fit = "yes" if each["as_good"] else "no"
        rows.append(table.cells([number, f"{each['mean']:.4f}", told, fit, *amounts,
                                 ", ".join(marks)]))  # fmt: skip
    head = ["trial", f"{content['metric']}, all seeds", "behind the best", "as good", *names, ""]
    return table.Table(head, rows)
