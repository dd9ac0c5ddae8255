"""Training: restore, then for each step take a batch, step, log, evaluate?, save?"""

import dataclasses
from collections.abc import Sequence

import jax
from etils import epath

from podway.framework import artifact, config, task
from podway.framework.artifact import upgrade
from podway.framework.devices import hardware, mesh
from podway.framework.error import PodwayError
from podway.framework.input import interactions
from podway.framework.input.batches import Dataset, TrainBatches, read_ahead
from podway.framework.runs import checkpoint, run
from podway.framework.runs.profiling import Profiled, Span
from podway.framework.runs.telemetry import (
    DIVERGED,
    StepFailed,
    Telemetry,
    check_parameters,
    check_validation,
)
from podway.framework.training import distributed
from podway.framework.training.program import Counts, Program, build_program
from podway.framework.training.state import State
from podway.framework.training.validation import validator


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
    dataset: Dataset,
    workdir: epath.PathLike,
    others: Sequence[Dataset] = (),
    *,
    peers: distributed.Peers | None = None,
    profile: Span | None = None,
    choice: upgrade.Choice | None = None,
) -> Outcome:
    """Trains to the last step, or until SIGTERM; resumes where an earlier call stopped.

    Args:
      experiment: what to train, and how.
      dataset: to train on, and to evaluate on.
      workdir: runs/ lies in it; all processes share it.
      others: those of experiment.mixture, in order.
      peers: the processes that train together, each of which calls this
        (framework/training/distributed.py); None: this one alone.
      profile: steps to write a profiler trace of, into profile/ of the run's directory.
      choice: what becomes of a run that other code made or began; process 0 looks.

    Raises:
      ConfigError: the devices, the dataset or the steps to profile don't fit the experiment.
      CheckpointError: the checkpoint in the run's directory is of another experiment.
      PeerError: the processes don't run the same.
      CodeChanged: there is a run that other code made or began, and no choice.
      TrainingError: the loss is not finite, or an exchange of rows overflowed.
    """
    options, batch_size = experiment.trainer, experiment.trainer.batch_size
    peers = peers or distributed.Peers()
    clock, inputs = peers.clock, run.inputs(dataset, others)
    peers.agree(distributed.facts(experiment, inputs))
    found = run.directory(experiment, inputs, workdir, choice).name if peers.first else None
    target = epath.Path(workdir) / "runs" / experiment.name / peers.tell(found)
    if peers.tell(artifact.exists(target)):
        return Outcome(target, options.steps, finished=True)

    devices = mesh.build(experiment.mesh)
    model = task.of_kind(experiment.model, task.TrainedModel)
    distributed.check_mesh(devices)
    with clock.on("compile"):
        counts, constants = table_counts(experiment, dataset), model.constants(dataset)
        program = build_program(experiment, dataset.schema, devices, counts, constants)
    batches = train_batches(experiment, dataset, others, program)
    validate = validator(experiment, dataset, devices, clock)
    if peers.first:
        run.describe(experiment, dataset.schema, target)
    peers.see(target / "schema.json")
    checkpoints = run.open_checkpoints(experiment, inputs, target)
    state, done = restore_or_initialize(program, checkpoints, batch_size, peers)
    take_step = Profiled(
        program.step,
        target / "profile" if peers.first else None,
        profile,
        start=done,
        steps=options.steps,
    )
    reader = read_ahead(batches, done, place=program.place)
    telemetry = start_telemetry(experiment, program, devices, target, peers, done)
    try:
        with peers.failing_together(), distributed.stopping() as stopping:
            clock.enter("step")
            for batch in clock.waiting(reader):
                with jax.transfer_guard("disallow"):
                    state, metrics = take_step(done + 1, state, batch)
                done += 1
                telemetry.step(done, metrics)
                last, stop, validation = done == options.steps, stopping(done), None
                if last or done % options.evaluate_every == 0:
                    telemetry.flush()
                    validation = validate(program.inference_parameters(state))
                    check_validation(done, validation)
                    telemetry.record(done, {f"validation/{k}": v for k, v in validation.items()})
                if last or validation or stop or done % options.checkpoint_every == 0:
                    telemetry.flush()
                    check_parameters(done, jax.device_get(program.invalid(state)))
                    with telemetry.saving(done):
                        checkpoints.save(done, state, done * batch_size, validation)
                if last or stop:
                    break
            with clock.on("checkpoint"):
                checkpoints.wait()
                selected = run.select(checkpoints)
            if done == options.steps and selected.step is None:
                raise StepFailed(
                    done, "at no step was the validation metric a finite number", DIVERGED
                )
    except StepFailed as error:
        latest = checkpoints.latest()
        good = (
            "there is no checkpoint"
            if latest is None
            else f"the last good checkpoint is of step {latest}"
        )
        raise TrainingError(
            f"{error}, on examples {(error.step - 1) * batch_size} to {error.step * batch_size - 1}"
            f" of the training order; {good} in {target}: {error.remedy}"
        ) from error
    finally:
        clock.enter("other")
        take_step.close()
        reader.close()
        telemetry.close()
        checkpoints.close()
    if done == options.steps and peers.first:
        run.commit(experiment, inputs, target, selected)
    return Outcome(target, done, finished=done == options.steps)


def train_batches(
    experiment: config.Experiment,
    dataset: Dataset,
    others: Sequence[Dataset],
    program: Program,
) -> TrainBatches:
    """The batches of the whole run; of each, the rows that this process's devices hold."""
    options = experiment.trainer
    weights = [component.weight for component in experiment.mixture]
    return TrainBatches(
        dataset,
        program.lengths,
        batch_size=options.batch_size,
        steps=options.steps,
        seed=options.seed,
        window=options.shuffle_window_blocks,
        crop=options.crop,
        readers=options.readers,
        rows=program.place.rows,
        others=list(zip(others, weights, strict=True)),
        pack=options.pack,
    )


def table_counts(experiment: config.Experiment, dataset: Dataset) -> Counts:
    """How often the train split has each id of the model's sparse tables, which are of items."""
    tables = task.of_kind(experiment.model, task.ParametricModel).tables(dataset.schema)
    return dict.fromkeys(tables, interactions.train_counts(dataset)) if tables else {}


def restore_or_initialize(
    program: Program,
    checkpoints: checkpoint.Checkpoints,
    batch_size: int,
    peers: distributed.Peers,
) -> tuple[State, int]:
    """The state to start from, and the batches that it has seen."""
    latest = peers.tell(checkpoints.latest())
    if latest is None:
        return program.initialize(), 0
    state, position = checkpoints.restore(latest, program.state)
    return state, position // batch_size


def start_telemetry(
    experiment: config.Experiment,
    program: Program,
    devices: jax.sharding.Mesh,
    target: epath.Path,
    peers: distributed.Peers,
    done: int,
) -> Telemetry:
    """What the run tells; process 0 writes it."""
    peak = devices.size * hardware.peak_flops(jax.local_devices()[0]) if peers.first else 1.0
    telemetry = Telemetry(
        target if peers.first else None,
        peers.clock,
        start=done,
        steps=experiment.trainer.steps,
        batch_size=experiment.trainer.batch_size,
        every=experiment.trainer.log_every,
        peak=program.flops / peak,
    )
    telemetry.record(done, {"compile_seconds": peers.clock.seconds()["compile"]})
    return telemetry
