"""What measuring needs to know beside the rules."""

import dataclasses

from etils import epath

from podway.framework.artifact.upgrade import Choice
from podway.framework.config import Experiment


@dataclasses.dataclass(frozen=True)
class Options:
    """How a version is judged.

    Attributes:
      workdir: where everything lies.
      code: what becomes of artefacts that other code made.
      experiment: the config as it is now; None: as it was when the run began. Its gate and its
        evaluation count.
      label: whose version is the champion; None: as the gate says.
      again: measure anew, where there is a verdict already.
    """

    workdir: epath.PathLike = "workdir"
    code: Choice | None = None
    experiment: Experiment | None = None
    label: str | None = None
    again: bool = False
