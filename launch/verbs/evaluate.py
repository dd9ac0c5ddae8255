"""`podway evaluate`: a run beside the baselines."""

from podway.launch import stages
from podway.launch.verbs.verb import Chain, Verb


def evaluate(options: Chain) -> None:
    """Evaluates the run, which is made if need be."""
    stages.evaluate(options.experiment, options.workdir, options.code)


VERB = Verb(
    "run → table beside the baselines",
    Chain,
    evaluate,
    example="podway evaluate movielens_sasrec --evaluation.cutoffs 1 10 --workdir w",
)
