"""`podway run`: all stages."""

import sys

from podway.framework.artifact.upgrade import Choice, CodeChanged
from podway.launch import stages
from podway.launch.tracking.session import session
from podway.launch.verbs.verb import Trained, Verb


def run(options: Trained) -> None:
    """Runs all stages; in a terminal, asks what becomes of artefacts that other code made."""
    try:
        _run(options, options.code)
    except CodeChanged as error:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise
        print(f"podway: {error}")
        answer = input("keep or new, for all stages of this command? ").strip()
        choice: Choice | None = {"keep": "keep", "new": "new"}.get(answer)  # type: ignore[assignment]
        if choice is None:
            raise
        _run(options, choice)


def _run(options: Trained, code: Choice | None) -> None:
    chosen = stages.TrainOptions(code=code)
    experiment = stages.longer(options.chosen, options.workdir, options.more, chosen)
    with session(experiment, options.workdir) as teller:
        published = stages.run(experiment, options.workdir, code)

        from podway.launch.gate import admission

        admission.promote(experiment, published, options.workdir, code, teller.tell)


VERB = Verb(
    "data, train, evaluate, export, gate: what is missing",
    Trained,
    run,
    example="podway run movielens_sasrec --trainer.steps 200 --workdir w",
)
