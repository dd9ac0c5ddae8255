"""What the export stage asks of a kind of models, whose answers are served."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from podway.export import jax_extras
from podway.export.verification import golden, warmup
from podway.framework import config


@dataclasses.dataclass(frozen=True)
class Extras:
    """What lies beside a SavedModel.

    Attributes:
      function: what is served, in JAX: (parameters, *columns [batch, …]) → tuple of arrays.
      columns: what one row has of each.
      golden: what the golden file holds.
      warmup: signature → its inputs of one row, which the warm-up requests repeat.
      details: the manifest's.
    """

    function: Callable[..., Any]
    columns: Sequence[jax.ShapeDtypeStruct]
    golden: Mapping[str, Any]
    warmup: Mapping[str, Mapping[str, np.ndarray]]
    details: dict[str, Any]


class Served(Protocol):
    """A model as it is served: what goes into its SavedModel, and what that is held against."""

    @property
    def experiment(self) -> config.Experiment:
        """Its `model` and `export` say what to export, `name` what to call it."""
        ...

    def write_saved_model(self, built: pathlib.Path, parameters: dict[str, np.ndarray]) -> Extras:
        """Writes the SavedModel into a new folder; returns what is to lie beside it.

        Args:
          built: the folder, which is not there yet.
          parameters: by path, as podway.framework.task.merge takes them.

        Raises ConfigError, ExportError.
        """
        ...


def write(served: Served, built: pathlib.Path, parameters: dict[str, np.ndarray]) -> dict[str, Any]:
    """Writes SavedModel, golden file, warm-up requests and what JAX takes; see write_saved_model.

    Returns the manifest's details. Raises ConfigError, ExportError.
    """
    extras, experiment = served.write_saved_model(built, parameters), served.experiment
    options = experiment.export
    golden.write(built, extras.golden)
    warmup.write(built, experiment.name, extras.warmup, options.batch_buckets)
    jax_extras.write(built, options.beside, extras.function, parameters, extras.columns)
    return extras.details
