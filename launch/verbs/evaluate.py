"""`podway evaluate`: a run beside the baselines."""

from podway.launch import stages
from podway.launch.verbs.verb import Trained, Verb


def evaluate(options: Trained) -> None:
    """Evaluates the run, which is made if need be."""
    chosen = stages.TrainOptions(code=options.code)
    experiment = stages.longer(options.chosen, options.workdir, options.more, chosen)
    stages.evaluate(experiment, options.workdir, options.code)


VERB = Verb(
    "run → table beside the baselines",
    Trained,
    evaluate,
    example="podway evaluate movielens_sasrec --evaluation.cutoffs 1 10 --workdir w",
)
