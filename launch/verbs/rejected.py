"""`podway rejected`: the rows that a dataset leaves out."""

import dataclasses

from etils import epath

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
    """Prints what was left out of a dataset, built or failed, and why. Raises DataError."""
    from podway.beam import place
    from podway.beam import rejected as beam_rejected

    data, workdir = options.experiment.data, options.workdir
    if options.dataset is None:
        directory = place.directory_of_whole(data, workdir)
        if not beam_rejected.kept(directory):
            directory = place.directory(data, workdir, look=True)
    else:
        directory = epath.Path(workdir) / "datasets" / data.name / options.dataset
    print(beam_rejected.show(directory, samples=options.samples, reason=options.reason))


VERB = Verb(
    "rows left out of the dataset: counts, samples",
    Rejected,
    rejected,
    example="podway rejected movielens_sasrec --samples 3 --workdir w",
)
