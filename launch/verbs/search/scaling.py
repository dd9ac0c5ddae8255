"""`podway scaling`: how quality grows with parameters, data and steps."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from etils import epath

from podway.framework import artifact, codec
from podway.framework.config import Model
from podway.framework.error import check
from podway.launch import stages
from podway.launch.verbs.verb import Chain, Verb

if TYPE_CHECKING:
    from podway.launch.scaling.study import Point


@dataclasses.dataclass(frozen=True)
class Scaling(Chain):
    """An experiment, and along what to make it smaller."""

    axes: tuple[Literal["parameters", "data", "compute"], ...] = ("parameters", "data", "compute")
    """Along what: the model's width, the share of the train split, the steps."""
    points: int = 5
    """Amounts along each, evenly in their logarithm, the experiment's own among them."""
    smallest: float = 0.1
    """The least of them, as a share of the experiment's own."""
    seeds: int = 1
    """Trainings at each amount."""
    output: str = ""
    """Folder of the page and the JSON; empty: scaling/NAME in the workdir."""
    dry_run: bool = False
    """Say which runs it takes, and stop."""


MORE = """

Each amount is an ordinary run, found again where it is there: a study that was stopped goes on. A
saturating power law is fitted along each axis, with an interval from residuals that are drawn anew,
and is read at twice and at ten times as much. The experiment itself is the largest."""


def scaling(options: Scaling) -> None:
    """Trains what is missing, and says what follows."""
    experiment = options.experiment
    check(
        type(experiment.model) is not Model and stages.takes_steps(experiment),
        f"the experiment {experiment.name!r} is not trained in steps, so there is no law to find",
    )
    from podway.framework.evaluation.evaluators import evaluator_of
    from podway.launch.scaling import grid, report, study

    places = grid.of(experiment, options.axes, options.points, options.smallest, options.seeds)
    if options.dry_run:
        for place in places:
            print(f"{place.axis:<10} {100 * place.share:6.3g} %  seed {place.seed}")
        return

    def say(point: Point) -> None:
        print(
            f"scaling: {point.place.axis} {100 * point.place.share:.3g} %, seed {point.place.seed}:"
            f" {point.quality:.4f}",
            flush=True,
        )

    points = study.train(places, options.workdir, options.code, say)
    evaluator = evaluator_of(experiment.model, experiment.evaluation)
    laws = study.laws(points, grows=evaluator.largest_is_best)
    folder = epath.Path(options.output or f"{options.workdir}/scaling/{experiment.name}")
    folder.mkdir(parents=True, exist_ok=True)
    page = report.page(experiment.name, points, laws, evaluator.metric)
    artifact.write_atomically(folder / "scaling.html", page)
    content = report.to_json(points, laws, evaluator.metric)
    artifact.write_atomically(folder / "scaling.json", codec.json_text(content, indent=1))
    print(report.said(points, laws, evaluator.metric))
    print(f"page: {folder}/scaling.html")


VERB = Verb(
    "quality by parameters, data and steps, and its law",
    Scaling,
    scaling,
    more=MORE,
    example="podway scaling movielens_sasrec --points 5 --smallest 0.1 --workdir w",
)
