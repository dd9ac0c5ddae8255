"""A sweep without its trainings: for pages and texts."""

import dataclasses
import math
import random

from podway.framework.config.sweep import Choice, Float, Limit, Sweep
from podway.launch.cost import bill, rate
from podway.launch.prices import book
from podway.launch.sweep.outcome import Outcome
from podway.launch.sweep.plan import Plan
from podway.launch.sweep.trial import Trial
from podway.launch.sweep.winner import Decision, Standing
from tests.framework.experiments import walks

SPACE = (
    Float("optimizer.learning_rate", 1e-4, 1e-1, log=True),
    Choice("model.width", (8, 16, 32)),
    Choice("trainer.crop", ("latest", "random")),
)

CORE = rate.core(book.shipped(), rate.Bought())


def plan(workdir="w", **changes) -> Plan:
    options = {"space": SPACE, "objectives": ("quality", "latency")}
    options |= {"limits": (Limit("size", 0.05),)}
    return Plan(walks(), "walks.py", Sweep(**(options | changes)), str(workdir), core=CORE)


def trials(count: int = 24) -> list[Trial]:
    """Wider ones are better and slower; every fifth is pruned, and every seventh refused."""
    draw, found = random.Random(0), []
    for number in range(count):
        rate, width = 10 ** draw.uniform(-4, -1), draw.choice([8, 16, 32])
        quality = 0.1 * math.log2(width) - 0.03 * (math.log10(rate) + 2) ** 2
        quality += draw.gauss(0, 0.005)
        values = {"optimizer.learning_rate": rate, "model.width": width}
        values |= {"trainer.crop": draw.choice(["latest", "random"])}
        quantities = {"parameters": 100.0 * width, "size": width / 1e3, "examples": 320.0}
        quantities["latency"] = 0.1 + width / 100 + draw.random() / 100
        curve = {step: quality * (1 - math.exp(-step / 7)) for step in (5, 10, 15, 20)}
        if number % 7 == 6:
            reason = "size is 0.064 MB, above 0.05"
            found.append(Trial(number, "refused", values, quantities=quantities, reason=reason))
        elif number % 5 == 4:
            found.append(Trial(number, "pruned", values, curve[5], quantities, {5: curve[5]}))
        else:
            done = Trial(number, "complete", values, quality, quantities, curve, run=f"run{number}")
            found.append(dataclasses.replace(done, seconds={"cpu": 36.0 * width}))
    return found


def outcome() -> Outcome:
    found = trials()
    done = sorted((t for t in found if t.state == "complete"), key=lambda each: -each.quality)
    cheap = [t for t in done if t.quantities["latency"] < done[0].quantities["latency"]]
    front = [done[0], cheap[0]]
    standings = {
        done[0].number: Standing(done[0].quality, 0.0, 0.0, True),
        cheap[0].number: Standing(cheap[0].quality, 0.001, 0.002, True),
        done[5].number: Standing(done[5].quality, 0.02, 0.002, False),
    }
    return Outcome(
        found,
        [each.number for each in front],
        Decision(cheap[0].number, done[0].number, standings),
        cheap[0].values,
        "runs/walks/run",
        "evaluations/walks/it",
        {"ndcg@5": {"value": 0.41, "low": 0.38, "high": 0.45}},
        bill.bill(
            {each.number: each.seconds for each in found}, {"cpu": 3600.0}, "USD", lambda _: CORE
        ),
    )
