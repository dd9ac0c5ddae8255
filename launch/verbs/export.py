"""`podway export`: publishes a run's model."""

from podway.launch import stages
from podway.launch.verbs.verb import Trained, Verb


def export(options: Trained) -> None:
    """Exports the run, which is made if need be."""
    chosen = stages.TrainOptions(code=options.code)
    experiment = stages.longer(options.experiment, options.workdir, options.more, chosen)
    stages.export(experiment, options.workdir, options.code)


VERB = Verb("run → verified, published SavedModel", Trained, export)
