"""What all launches of an experiment have in common: what is launched, and its name."""

import dataclasses
import functools
from typing import Any

from podway.framework import codec
from podway.framework.config import Experiment
from podway.framework.error import check
from podway.launch.targets import names
from podway.launch.targets.frozen import Frozen

NAME = 40
"""Characters of a launch's name: those of its pods have a role and two numbers more."""


@dataclasses.dataclass(frozen=True)
class Launched:
    """What is launched.

    Attributes:
      experiment: the config.
      frozen: it and the user's sources, as files.
      target: where it runs.
      workdir: where all processes find datasets, runs and models.
      given_name: of the launch; "": made of the experiment's name and content.
    """

    experiment: Experiment
    frozen: Frozen
    target: Any
    workdir: str
    given_name: str = ""

    def __post_init__(self):
        check(
            not self.given_name or names.is_legal(self.given_name, NAME),
            f"--launch-name is {self.given_name!r}; give small letters, digits and '-', at most"
            f" {NAME}",
        )

    @functools.cached_property
    def hash(self) -> str:
        """Of what is trained, and where it is put: a launch of the same is the same launch."""
        return codec.content_hash([self.frozen.hash, self.workdir])

    @property
    def name(self) -> str:
        """By which it is listed, followed and stopped."""
        if self.given_name:
            return self.given_name
        return f"{names.legal(self.experiment.name, NAME - 7)}-{self.hash[:6]}"
