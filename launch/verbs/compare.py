"""`podway compare`: runs, user by user."""

import dataclasses
from typing import Annotated

import tyro

from podway.framework.artifact.upgrade import Choice
from podway.launch import stages
from podway.launch.verbs.verb import Verb


@dataclasses.dataclass(frozen=True)
class Compare:
    """Runs to compare, and where their artefacts lie."""

    runs: Annotated[tuple[str, ...], tyro.conf.Suppress]
    workdir: str = "workdir"
    """Folder of datasets/, runs/ and evaluations/."""
    code: Choice | None = None
    """Where an evaluation is there, but was made by other code: keep it, or make it new."""
    html: str = ""
    """File to write a page of the comparison to, with intervals and slices drawn."""


PAIRED = """

RUN is a run's folder, WORKDIR/runs/NAME/RUN, or NAME for the latest one there; two or more, all on
one dataset. Each is ranked on the test split as the first one's `evaluation` says, and then:

- the others are compared with the first one: difference of HR@k and NDCG@k, its 95 % interval, and
  the p-value of a paired t-test over users;
- runs of one config that differ in trainer.seed alone count as one model. Their mean is shown, with
  an interval over three seeds or more, and their average is what is compared, user by user.

Example:  podway compare movielens_sasrec movielens_ease --workdir w --html compared.html"""


def compare(options: Compare) -> None:
    """Compares runs."""
    stages.compare(options.runs, options.workdir, options.code, html=options.html)


VERB = Verb("runs, user by user: which is better?", Compare, compare, of="RUN RUN …", more=PAIRED)
