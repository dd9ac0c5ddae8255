"""`podway export`: publishes a run's model."""

from podway.launch import stages
from podway.launch.verbs.verb import Chain, Verb


def export(options: Chain) -> None:
    """Exports the run, which is made if need be."""
    stages.export(options.experiment, options.workdir, options.code)


VERB = Verb(
    "run → verified, published SavedModel",
    Chain,
    export,
    example="podway export movielens_sasrec --export.top-k 20 --workdir w",
)
