"""What the export stage asks of a kind of models, whose answers are served."""

import pathlib
from typing import Any, Protocol

import numpy as np

from podway.framework import config


class Served(Protocol):
    """A model as it is served: what goes into its SavedModel, and what that is held against."""

    @property
    def experiment(self) -> config.Experiment:
        """Its `model` and `export` say what to export, `name` what to call it."""
        ...

    def write(self, built: pathlib.Path, parameters: dict[str, np.ndarray]) -> dict[str, Any]:
        """Writes SavedModel, golden file, warm-up requests and what JAX takes into a new folder.

        Args:
          built: the folder, which is not there yet.
          parameters: by path, as podway.framework.task.merge takes them.

        Returns the manifest's details. Raises ConfigError, ExportError.
        """
        ...
