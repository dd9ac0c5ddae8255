"""`podway advise`: which model fits a budget, and whether a simpler one is as good."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys

from podway.framework import codec
from podway.framework.config import Model
from podway.framework.error import ConfigError, check
from podway.launch import stages
from podway.launch.verbs.verb import Chain, Verb

_UNITS = {"": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 1e3, "mb": 1e6, "gb": 1e9}


@dataclasses.dataclass(frozen=True)
class Advise(Chain):
    """An experiment, and what its model may take."""

    latency: str = ""
    """Longest that an answer of one row may take on a CPU of this machine: 20ms, 0.5s."""
    memory: str = ""
    """Most that parameters and a request of 64 rows may take: 2GiB, 500MB."""
    loss: float = 0.0
    """Share of the best metric that may be given up for a simpler or smaller model: 0.01."""
    train: bool = False
    """Train and evaluate what is within the budget and has not been."""
    json: bool = False
    """Print JSON."""


MORE = """

Holds beside each other: simple models that are fitted at once, the config's own at a quarter to
twice its width, its relatives, and each with its tables in f32, int8 and 4 bits. Size is that of
the parameters; memory is what the compiler says; time is measured, of the function that is
exported. Quality is that of the runs in the workdir; simple models are fitted and evaluated."""


def advise(options: Advise) -> None:
    """Prints the table and the advice."""
    experiment = options.experiment
    check(
        type(experiment.model) is not Model,
        f"the experiment {experiment.name!r} has no model: set `model` and `optimizer`",
    )
    check(0 <= options.loss < 1, f"--loss is {options.loss}; give a share from 0 to below 1")
    latency, memory = _milliseconds(options.latency), _bytes(options.memory)

    from podway.framework.evaluation.evaluators import evaluator_of
    from podway.launch.advise import advice, candidates, measure, text

    def say(row: measure.Row) -> None:
        print(f"advise: {row.candidate.name}: {row.latency:.3g} ms", flush=True)

    # What the stages say of their work is no part of JSON.
    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        dataset = stages.data(experiment, options.workdir, code=options.code)
        rows = measure.measure(
            candidates.of(experiment, dataset),
            dataset,
            options.workdir,
            measure.Budget(latency, memory),
            trains=options.train,
            code=options.code,
            say=say,
        )
    evaluator = evaluator_of(experiment.model, experiment.evaluation)
    made = advice.advise(rows, largest_is_best=evaluator.largest_is_best, loss=options.loss)
    if options.json:
        print(codec.json_text(text.to_json(rows, made, evaluator.metric), indent=1))
    else:
        print(text.said(rows, made, evaluator.metric))


def _milliseconds(given: str) -> float | None:
    if not given:
        return None
    found = re.fullmatch(r"([0-9.]+)\s*(ms|s)", given.strip())
    if not found:
        raise ConfigError(f"--latency is {given!r}; give a time such as 20ms or 0.5s")
    return float(found[1]) * (1000 if found[2] == "s" else 1)


def _bytes(given: str) -> int | None:
    if not given:
        return None
    found = re.fullmatch(r"([0-9.]+)\s*([kmg]?i?b?)", given.strip().lower())
    unit = _UNITS.get(found[2]) if found else None
    if found is None or unit is None:
        raise ConfigError(f"--memory is {given!r}; give a size such as 2GiB or 500MB")
    return int(float(found[1]) * unit)


VERB = Verb(
    "which model fits a budget, and whether a simpler one does",
    Advise,
    advise,
    more=MORE,
    example="podway advise movielens_sasrec --latency 20ms --memory 2GiB --workdir w",
)
