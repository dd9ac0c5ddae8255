"""Training: restore, then for each step take a batch, step, log, evaluate?, save?"""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from etils import epath

from framework import (
    artifact,
    checkpoint,
    config,
    evaluate,
    hardware,
    input,
    mesh,
    run,
    step,
    task,
)
from framework.baselines import train_counts
from framework.error import PodwayError
from framework.telemetry import NotFinite, Telemetry


class TrainingError(PodwayError, RuntimeError):
    """Training cannot go on; the message says where it stands."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How `train` ended: the run's directory, the steps done, and whether these were all."""

    directory: epath.Path
    step: int
    finished: bool


def train(
    experiment: config.Experiment,
    dataset: input.Dataset,
    workdir: epath.PathLike,
    others: Sequence[input.Dataset] = (),
) -> Outcome:
    """Trains to the last step, or until SIGTERM; resumes where an earlier call stopped.

    Args:
      experiment: what to train, and how.
      dataset: to train on, and to judge by.
      workdir: runs/ lies in it.
      others: those of experiment.mixture, in order.

    Raises:
      ConfigError: the devices or the dataset don't fit the experiment.
      CheckpointError: the checkpoint in the run's directory is of another experiment.
      TrainingError: the loss is not finite.
    """
    options, batch_size = experiment.trainer, experiment.trainer.batch_size
    inputs = run.inputs(dataset, others)
    target = run.directory(experiment, inputs, workdir)
    if artifact.exists(target):
        return Outcome(target, options.steps, finished=True)

    devices = mesh.build(experiment.mesh)
    program = step.build(experiment, dataset.schema, devices)
    batches = input.TrainBatches(
        dataset,
        program.lengths,
        batch_size=batch_size,
        steps=options.steps,
        seed=options.seed,
        window=options.shuffle_blocks,
        crop=options.crop,
        readers=options.readers,
        rows=program.place.rows,
        others=[
            (other, component.weight)
            for other, component in zip(others, experiment.mixture, strict=True)
        ],
    )
    validate = validator(experiment, dataset, program)
    run.describe(experiment, dataset.schema, target)
    checkpoints = run.open_checkpoints(experiment, inputs, target)
    state, done = restore_or_initialize(program, checkpoints, batch_size)
    reader = input.read_ahead(batches, done, place=program.place)
    telemetry = Telemetry(
        target,
        start=done,
        steps=options.steps,
        batch_size=batch_size,
        every=options.log_every,
        peak=program.flops / (devices.size * hardware.peak_flops(devices.devices.flat[0])),
    )
    try:
        with on_sigterm() as stop:
            for batch, waited in timed(reader):
                with jax.transfer_guard("disallow"):
                    state, metrics = program.step(state, batch)
                done += 1
                telemetry.step(done, metrics, waited)
                last, judged = done == options.steps, None
                if last or done % options.evaluate_every == 0:
                    telemetry.flush()
                    judged = validate(program.judged(state))
                    telemetry.record(done, {f"validation/{k}": v for k, v in judged.items()})
                if last or judged or stop.is_set() or done % options.checkpoint_every == 0:
                    telemetry.flush()
                    checkpoints.save(done, state, done * batch_size, judged)
                    telemetry.restart_clock()
                if last or stop.is_set():
                    break
    except NotFinite as error:
        raise TrainingError(
            f"{error}, on examples {(error.step - 1) * batch_size} to {error.step * batch_size - 1}"
            f" of the training order; the last good checkpoint in {target} is of step"
            f" {checkpoints.latest()}: lower optimizer.learning_rate or optimizer.clip_norm"
        ) from error
    finally:
        reader.close()
        checkpoints.close()
        telemetry.close()
    if done == options.steps:
        run.commit(experiment, inputs, target)
    return Outcome(target, done, finished=done == options.steps)


def restore_or_initialize(
    program: step.Program, checkpoints: checkpoint.Checkpoints, batch_size: int
) -> tuple[step.State, int]:
    """The state to start from, and the batches that it has seen."""
    latest = checkpoints.latest()
    if latest is None:
        return program.initialize(), 0
    state, position = checkpoints.restore(latest, program.state)
    return state, position // batch_size


def timed(batches: Iterator[task.Batch]) -> Iterator[tuple[task.Batch, float]]:
    """Batches, each with the seconds that were spent waiting for it."""
    while True:
        start = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            return
        yield batch, time.perf_counter() - start


def validator(experiment: config.Experiment, dataset: input.Dataset, program: step.Program) -> Any:
    """A function parameters → {metric: value} on the validation split."""
    scores = jax.jit(
        lambda parameters, history: program.task.scores(
            task.merge(program.graph, parameters), history
        )
    )
    counts = train_counts(dataset)

    def validate(parameters: task.Parameters) -> dict[str, float]:
        ranks = evaluate.rank_split(
            lambda history: scores(parameters, history),
            dataset,
            "validation",
            experiment.evaluation,
        )
        table = evaluate.summarize(
            ranks, dataclasses.replace(experiment.evaluation, bootstrap=1), counts
        )
        return {name: cell["value"] for name, cell in table.items()}

    return validate


@contextlib.contextmanager
def on_sigterm() -> Iterator[threading.Event]:
    """An event that is set on SIGTERM, so that the loop can save and end."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, previous)
