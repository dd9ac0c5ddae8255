"""`podway rejected`: the rows that a dataset leaves out."""

import dataclasses

from podway.launch import stages
from podway.launch.verbs.verb import Stage, Verb


@dataclasses.dataclass(frozen=True)
class Rejected(Stage):
    """An experiment, where its artefacts lie, and which rejected rows to show."""

    samples: int = 5
    """Rows to show for each reason."""
    reason: str | None = None
    """Show only the reasons that contain this text."""
    dataset: str | None = None
    """Version of the dataset; without one, that of the raw data as they are now."""


def rejected(options: Rejected) -> None:
    """Prints the rejected rows of a dataset."""
    stages.rejected(
        options.experiment,
        options.workdir,
        samples=options.samples,
        reason=options.reason,
        version=options.dataset,
    )


VERB = Verb(
    "rows left out of the dataset: counts, samples",
    Rejected,
    rejected,
    example="podway rejected movielens_sasrec --samples 3 --workdir w",
)
