"""`podway compare`: runs, user by user."""

import dataclasses
from typing import Annotated

import tyro

from podway.framework.artifact.upgrade import Choice
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
  an interval over three seeds or more, and their average is what is compared, user by user."""


def compare(options: Compare) -> None:
    """Prints how runs compare, user by user; evaluates those that are not yet."""
    from podway.framework.comparison import page
    from podway.framework.comparison.runs import evaluate_runs, find, grouped, report
    from podway.framework.report import run as run_page

    found = [find(run, options.workdir) for run in options.runs]
    groups = grouped(evaluate_runs(found, options.workdir, options.code))
    for group in groups:
        for each in group.runs:
            run_page.write(each.directory)
    print(report(groups))
    if options.html:
        page.write(groups, options.html)
        print(f"\npage: {options.html}")


VERB = Verb(
    "runs, user by user: which is better?",
    Compare,
    compare,
    of="RUN RUN …",
    more=PAIRED,
    example="podway compare movielens_sasrec movielens_ease --workdir w --html compared.html",
)
