"""From a run to users: export without serving, gate, rollout."""

import dataclasses

from etils import epath

from podway.export.versions import promote
from podway.framework.config import Experiment
from podway.launch import stages


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a version may go on.

    Attributes:
      passed: it may.
      reason: why, or why not, in a sentence.
      directory: of the report; "": none.
    """

    passed: bool
    reason: str
    directory: str = ""


def export(experiment: Experiment, workdir: epath.PathLike) -> epath.Path:
    """Publishes the run's model. Returns the version's folder."""
    return stages.export(experiment, workdir, "keep")


def gate(experiment: Experiment, workdir: epath.PathLike, version: int) -> Verdict:
    """The gate's verdict."""
    return Verdict(True, "there is no gate")


def roll_out(experiment: Experiment, workdir: epath.PathLike, version: int) -> Verdict:
    """Has a version serve."""
    return Verdict(True, promote.promote(experiment.name, version, workdir))
