"""Fitting: what training is to a model whose parameters are computed rather than trained.

The run is as any other: evaluated on the validation split, with one checkpoint, that of step 0.
"""

import time
from collections.abc import Mapping

import jax
import numpy as np
from etils import epath

from podway.framework import artifact, config, task
from podway.framework.artifact import upgrade
from podway.framework.devices import mesh, platforms
from podway.framework.error import ConfigError, check
from podway.framework.input import batches
from podway.framework.report import run as report
from podway.framework.runs import lock, run, telemetry
from podway.framework.runs.goodput import Clock
from podway.framework.training.validation import validator


def fit(
    experiment: config.Experiment,
    dataset: batches.Dataset,
    workdir: epath.PathLike,
    choice: upgrade.Choice | None = None,
) -> epath.Path:
    """Fits the experiment's model, a task.FittedModel, and commits the run; or finds it.

    Of `trainer` only the seed counts, and of `optimizer` nothing.

    Args:
      experiment: what to fit.
      dataset: to fit to, and to evaluate on.
      workdir: runs/ lies in it.
      choice: what becomes of a run that other code made.

    Returns the run's directory. Raises ConfigError where the experiment mixes datasets, or the
    dataset does not fit the model; CodeChanged where other code made the run and `choice` is None;
    LockedError where another process makes it now.
    """
    inputs = run.inputs(dataset)
    target = run.directory(experiment, inputs, workdir, choice)
    if artifact.exists(target):
        return target
    model = task.of_kind(experiment.model, task.FittedModel)
    check(
        not experiment.mixture,
        f"mixture: {type(model).__name__} is fitted to one dataset; leave the mixture empty",
    )
    with lock.hold(target):
        if not artifact.exists(target):
            _fit(model, experiment, dataset, inputs, target)
    return target


def _fit(
    model: task.FittedModel,
    experiment: config.Experiment,
    dataset: batches.Dataset,
    inputs: Mapping[str, str],
    target: epath.Path,
) -> None:
    platforms.check()
    began = time.perf_counter()
    parameters = model.fit(dataset, experiment.trainer.seed)
    seconds = {"fit_seconds": time.perf_counter() - began}
    _check_finite(model, parameters)
    commit(experiment, dataset, inputs, target, parameters, seconds)


def commit(
    experiment: config.Experiment,
    dataset: batches.Dataset,
    inputs: Mapping[str, str],
    target: epath.Path,
    parameters: Mapping[str, np.ndarray],
    seconds: Mapping[str, float],
    parent: str = "",
) -> None:
    """Commits the run of parameters that were not trained in steps: validated, as step 0.

    Args:
      experiment: whose run it is.
      dataset: to evaluate on.
      inputs: the datasets' versions.
      target: the run's folder, whose lock is held.
      parameters: by path.
      seconds: what took how long, by name; recorded beside the metrics.
      parent: version of the run that it goes on from.
    """
    run.describe(experiment, dataset.schema, target, inputs)
    devices = mesh.build(experiment.mesh)
    on_devices = jax.device_put(dict(parameters), mesh.replicated(devices))
    metrics = validator(experiment, dataset, devices, Clock())(on_devices)
    records = telemetry.Records(target / "metrics.jsonl", [])
    telemetry.check_validation(0, metrics)
    validation = {f"validation/{name}": value for name, value in metrics.items()}
    records.add({"step": 0, **seconds, **validation})
    records.save()
    checkpoints = run.open_checkpoints(experiment, inputs, target)
    try:
        if checkpoints.latest() is None:
            state = {"step": np.zeros((), np.int32), "parameters": dict(parameters)}
            checkpoints.save(0, state, 0, metrics)
            checkpoints.wait()
        selected = run.select(checkpoints)
    finally:
        checkpoints.close()
    run.commit(experiment, inputs, target, selected, steps=0, parent=parent)
    report.write(target)


def _check_finite(model: task.FittedModel, parameters: Mapping[str, np.ndarray]) -> None:
    for path, array in parameters.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            wrong = int((~np.isfinite(array)).sum())
            raise ConfigError(
                f"{type(model).__name__} cannot be fitted to this dataset: {wrong:,} numbers of"
                f" {path!r} are not finite; raise its regularisation"
            )
