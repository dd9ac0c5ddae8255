"""`podway export`: publishes a run's model."""

from podway.launch import stages
from podway.launch.verbs.verb import Trained, Verb


def export(options: Trained) -> None:
    """Exports the run, which is made if need be."""
    chosen = stages.TrainOptions(code=options.code)
    experiment = stages.longer(options.chosen, options.workdir, options.more, chosen)
    published = stages.export(experiment, options.workdir, options.code)
    if experiment.gate.rules:
        command = f"{experiment.name} {published.name} --workdir {options.workdir}"
        print(
            f"export: it serves once it has passed its gate: `podway gate {command}`, then"
            f" `podway promote {command}`"
        )


VERB = Verb(
    "run → verified, published SavedModel",
    Trained,
    export,
    example="podway export movielens_sasrec --export.top-k 20 --workdir w",
)
