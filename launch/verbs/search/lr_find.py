"""`podway lr-find`: a learning rate for an experiment."""

from __future__ import annotations

import dataclasses
import datetime
import math
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

from etils import epath

from podway.framework import codec
from podway.framework.config import Experiment, Model, Tracking
from podway.framework.error import check
from podway.launch import stages
from podway.launch.tracking import others, session
from podway.launch.verbs.verb import Chain, Verb

if TYPE_CHECKING:
    from podway.framework.training.rate_sweep import Suggestion, Sweep


@dataclasses.dataclass(frozen=True)
class LearningRate(Chain):
    """An experiment whose learning rate to find."""

    steps: int = 200
    """Steps to take, each at a higher rate."""
    lowest: float = 1e-7
    """Learning rate of the first step."""
    highest: float = 10.0
    """Learning rate of the last step, if the loss does not diverge before."""
    output: str = ""
    """HTML file of the chart; empty: lr_find/NAME.html in the workdir."""


MORE = """

Takes the first steps of training at learning rates that rise from --lowest to --highest, until the
loss diverges, and prints the rate at which it fell fastest (or a third of that at which it was
lowest, if that is less). Saves no run. The suggestion is a peak rate, for a schedule with a
warm-up."""


KIND = "lr_find"
"""What a tracking database calls it, and the folder in the workdir."""
_SHOWN = 1.15
"""Losses up to so many times the first one are drawn."""


def find(options: LearningRate) -> None:
    """Prints a suggestion, and writes the chart."""
    experiment, name = options.experiment, options.experiment.name
    check(
        type(experiment.model) is not Model and not stages.is_fitted(experiment),
        f"the experiment {name!r} has no learning rate: its model is"
        f" {'fitted, not trained' if stages.is_fitted(experiment) else 'not set'}",
    )
    from podway.framework.devices import allocator, compilation
    from podway.framework.training import rate_sweep

    allocator.reuse()
    compilation.keep(compilation.folder("", options.workdir))
    dataset, others = stages.datasets(experiment, options.workdir, build=True, code=options.code)
    seen = rate_sweep.sweep(
        experiment,
        dataset,
        others,
        lowest=options.lowest,
        highest=options.highest,
        steps=options.steps,
    )
    suggestion = rate_sweep.suggest(seen)
    output = epath.Path(options.output or f"{options.workdir}/lr_find/{name}.html")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page(name, seen, suggestion))
    _tell(experiment, options, seen, suggestion, output)
    end = f"diverged at {seen.rates[-1]:.2g}" if seen.diverged else "did not diverge"
    print(
        f"rates from {seen.rates[0]:.2g} to {seen.rates[-1]:.2g} in {len(seen.rates)} steps; the"
        f" loss {end}\n"
        f"  fastest fall at {suggestion.steepest:.2g}\n"
        f"  lowest loss at {suggestion.lowest:.2g}: {suggestion.loss:.4g}, from"
        f" {suggestion.first:.4g}\n"
        f"suggestion: --optimizer.learning-rate {suggestion.rate:.2g}\n"
        f"chart: {output}"
    )
    if suggestion.note:
        print(f"note: {suggestion.note}")


def _tell(
    experiment: Experiment,
    options: LearningRate,
    seen: Sweep,
    suggestion: Suggestion,
    output: epath.Path,
) -> None:
    """Keeps what was found, and tells the tracking database of it where there is one."""
    name, now = experiment.name, datetime.datetime.now(datetime.UTC)
    version = f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    directory = others.folder(options.workdir, KIND, name, version)
    directory.mkdir(parents=True, exist_ok=True)
    told = {"suggestion": suggestion.rate, "steepest": suggestion.steepest}
    others.write(
        directory,
        name=name,
        version=version,
        config={
            "steps": options.steps,
            "lowest": options.lowest,
            "highest": options.highest,
            "experiment": codec.to_json(dataclasses.replace(experiment, tracking=Tracking())),
        },
        metrics=told | {"lowest_loss": suggestion.loss, "lowest_loss_rate": suggestion.lowest},
        curve={"loss": seen.losses.tolist(), "rate": seen.rates.tolist()},
        facts={"page": str(output), "note": suggestion.note, "diverged": seen.diverged},
    )
    with session.session(experiment, options.workdir) as teller:
        teller.tell(KIND, directory)


def page(name: str, seen: Sweep, suggestion: Suggestion) -> str:
    """The chart of losses by rate, as HTML."""
    from podway.framework.page import chart, templates

    def shown(losses: Iterable[float]) -> list[tuple[float, float]]:
        """Without those that diverge, beside which the others would be a flat line."""
        return [
            (float(rate), float(loss) if loss <= _SHOWN * suggestion.first else math.nan)
            for rate, loss in zip(seen.rates, losses, strict=True)
        ]

    ends = [(suggestion.rate, suggestion.loss), (suggestion.rate, suggestion.first)]
    lines = chart.lines(
        "loss by learning rate",
        [
            chart.Series("loss", shown(seen.losses)),
            chart.Series("smoothed", shown(seen.smoothed)),
            chart.Series("suggestion", ends),
        ],
        x="learning rate",
        y="loss",
        log_x=True,
    )
    notes = [
        f"suggestion: {suggestion.rate:.2g}; the loss fell fastest at {suggestion.steepest:.2g} and"
        f" was lowest at {suggestion.lowest:.2g}",
        *([suggestion.note] if suggestion.note else []),
    ]
    title = f"Learning rate of {name}"
    return templates.render("charts.html.j2", title=title, charts=[lines], notes=notes)


VERB = Verb(
    "a learning rate: sweep over rising rates",
    LearningRate,
    find,
    more=MORE,
    example="podway lr-find movielens_sasrec --workdir w",
)
