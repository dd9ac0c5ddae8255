"""`podway checkpoints`: what a run has saved."""

import dataclasses

from podway.launch.verbs.verb import Subject, Verb


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """A run whose checkpoints to list."""

    run: Subject
    read: bool = False
    """Read every array, instead of what describes them alone."""


def checkpoints(options: Checkpoints) -> None:
    """Lists the checkpoints of a run."""
    from podway.framework.runs import checkpoint_list

    print(checkpoint_list.table(options.run, read=options.read))


VERB = Verb(
    "checkpoints of a run",
    Checkpoints,
    checkpoints,
    of="RUN",
    example="podway checkpoints w/runs/movielens_sasrec/RUN",
)
