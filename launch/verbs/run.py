"""`podway run`: all stages."""

import sys

from podway.framework.artifact.upgrade import Choice, CodeChanged
from podway.launch import stages
from podway.launch.verbs.verb import Chain, Verb


def run(options: Chain) -> None:
    """Runs all stages; in a terminal, asks what becomes of artefacts that other code made."""
    try:
        stages.run(options.experiment, options.workdir, options.code)
    except CodeChanged as error:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise
        print(f"podway: {error}")
        answer = input("keep or new, for all stages of this command? ").strip()
        choice: Choice | None = {"keep": "keep", "new": "new"}.get(answer)  # type: ignore[assignment]
        if choice is None:
            raise
        stages.run(options.experiment, options.workdir, choice)


VERB = Verb(
    "data, train, evaluate, export: what is missing",
    Chain,
    run,
    example="podway run movielens_sasrec --trainer.steps 200 --workdir w",
)
