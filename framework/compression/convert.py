"""The run of a step that converts parameters at once: as a fitted one, it has one checkpoint."""

import time
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from podway.framework import artifact, config
from podway.framework.artifact import upgrade
from podway.framework.devices import mesh
from podway.framework.error import ConfigError
from podway.framework.input import batches
from podway.framework.report import run as report
from podway.framework.runs import lock, run, telemetry
from podway.framework.runs.goodput import Clock
from podway.framework.training.validation import validator


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
    step, began = experiment.compression[-1], time.perf_counter()
    parameters = step.convert(experiment, dataset, before)
    seconds = time.perf_counter() - began
    _check_finite(step, parameters)
    run.describe(experiment, dataset.schema, target, inputs)
    devices = mesh.build(experiment.mesh)
    on_devices = jax.device_put(parameters, mesh.replicated(devices))
    metrics = validator(experiment, dataset, devices, Clock())(on_devices)
    records = telemetry.Records(target / "metrics.jsonl", [])
    telemetry.check_validation(0, metrics)
    validation = {f"validation/{name}": value for name, value in metrics.items()}
    records.add({"step": 0, "convert_seconds": seconds, **validation})
    records.save()
    checkpoints = run.open_checkpoints(experiment, inputs, target)
    try:
        if checkpoints.latest() is None:
            state = {"step": np.zeros((), np.int32), "parameters": parameters}
            checkpoints.save(0, state, 0, metrics)
            checkpoints.wait()
        selected = run.select(checkpoints)
    finally:
        checkpoints.close()
    run.commit(experiment, inputs, target, selected, steps=0, parent=before.name)
    report.write(target)


def _check_finite(step: config.Compression, parameters: Mapping[str, np.ndarray]) -> None:
    for path, array in parameters.items():
        if jnp.issubdtype(array.dtype, jnp.floating) and not np.isfinite(array).all():
            wrong = int((~np.isfinite(array)).sum())
            raise ConfigError(
                f"{type(step).__name__} leaves {wrong:,} numbers of {path!r} that are not finite"
            )
