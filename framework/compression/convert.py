"""The run of a step that converts parameters at once: as a fitted one, it has one checkpoint."""

import time
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from etils import epath

from podway.framework import artifact, config
from podway.framework.artifact import upgrade
from podway.framework.devices import platforms
from podway.framework.error import ConfigError
from podway.framework.input import batches
from podway.framework.runs import lock, run
from podway.framework.training import fitting


def convert(
    experiment: config.Experiment,
    dataset: batches.Dataset,
    before: epath.Path,
    workdir: epath.PathLike,
    choice: upgrade.Choice | None = None,
) -> epath.Path:
    """Takes the experiment's last step of compression, and commits the run; or finds it.

    Args:
      experiment: what the step leads to.
      dataset: to calibrate on, and to evaluate on.
      before: the run that is compressed.
      workdir: runs/ lies in it.
      choice: what becomes of a run that other code made.

    Returns the run's directory. Raises ConfigError where the step does not fit the parameters,
    CodeChanged, LockedError.
    """
    inputs = run.inputs(dataset)
    target = run.directory(experiment, inputs, workdir, choice)
    if artifact.exists(target):
        return target
    with lock.hold(target):
        if not artifact.exists(target):
            _convert(experiment, dataset, before, inputs, target)
    return target


def _convert(
    experiment: config.Experiment,
    dataset: batches.Dataset,
    before: epath.Path,
    inputs: Mapping[str, str],
    target: epath.Path,
) -> None:
    platforms.check()
    step, began = experiment.compression[-1], time.perf_counter()
    parameters = step.convert(experiment, dataset, before)
    seconds = {"convert_seconds": time.perf_counter() - began}
    _check_finite(step, parameters)
    fitting.commit(experiment, dataset, inputs, target, parameters, seconds, before.name)


def _check_finite(step: config.Compression, parameters: Mapping[str, np.ndarray]) -> None:
    for path, array in parameters.items():
        if jnp.issubdtype(array.dtype, jnp.floating) and not np.isfinite(array).all():
            wrong = int((~np.isfinite(array)).sum())
            raise ConfigError(
                f"{type(step).__name__} leaves {wrong:,} numbers of {path!r} that are not finite"
            )
