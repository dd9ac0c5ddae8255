"""Figures to plan with: a load, a training step, prices, and all that is assumed beside them."""

import dataclasses

from podway.launch import experiments
from podway.launch.plan import gather
from podway.launch.plan.figure import Figure
from podway.launch.plan.load import Load
from podway.launch.plan.step import Step
from podway.launch.prices import book

STEP = Step(
    chips=16,
    seconds=0.02,
    source="a test",
    model=2e9,
    state=6e9,
    needed=4 << 30,
    limit=16 << 30,
)
LOAD = {
    "users": 3e8,
    "items": 2e6,
    "events_per_second": 5e4,
    "requests_per_second": 1e5,
    "requests_mean": 6e4,
}


def figures(
    step: Step = STEP, assume: tuple[str, ...] = (), accelerator: str = "v5e", **load
) -> tuple[Figure, ...]:
    """All figures for SASRec under a load."""
    loaded = experiments.load("movielens_sasrec")
    trainer = dataclasses.replace(loaded.trainer, batch_size=8192)
    experiment = dataclasses.replace(loaded, trainer=trainer)
    stated = Load(**{**LOAD, **load})
    return gather.gather(
        stated, experiment, step.figures, accelerator, book.shipped(), assumptions=assume
    )
