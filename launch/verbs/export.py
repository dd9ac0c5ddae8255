"""`podway export`: publishes a run's model."""

import dataclasses

from podway.launch import stages
from podway.launch.verbs.verb import Trained, Verb


@dataclasses.dataclass(frozen=True)
class Export(Trained):
    """As Trained, and who signs the model."""

    sign: str = ""
    """File of a secret key (`podway keys`): the model is signed by it before it serves."""


def export(options: Export) -> None:
    """Exports the run, which is made if need be."""
    key = None
    if options.sign:
        from podway.export.signature.minisign import SecretKey

        key = SecretKey.read(options.sign)  # what is wrong with it is said before the work
    chosen = stages.TrainOptions(code=options.code)
    experiment = stages.longer(options.chosen, options.workdir, options.more, chosen)
    published = stages.export(experiment, options.workdir, options.code, key)
    if experiment.gate.rules:
        command = f"{experiment.name} {published.name} --workdir {options.workdir}"
        print(
            f"export: it serves once it has passed its gate: `podway gate {command}`, then"
            f" `podway promote {command}`"
        )


VERB = Verb(
    "run → verified, published SavedModel",
    Export,
    export,
    example="podway export movielens_sasrec --export.top-k 20 --workdir w",
)
