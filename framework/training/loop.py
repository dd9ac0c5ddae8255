"""Training: restore, then for each step take a batch, step, log, evaluate?, save?"""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence

import jax
from etils import epath

from podway.framework import artifact, config, task
from podway.framework.artifact import upgrade
from podway.framework.devices import hardware, mesh, platforms
from podway.framework.error import PodwayError
from podway.framework.input import interactions
from podway.framework.input.batches import Dataset, TrainBatches, read_ahead
from podway.framework.report import run as report
from podway.framework.runs import checkpoint, lock, run
from podway.framework.runs.profiling import Profiled, Span
from podway.framework.runs.telemetry import (
    DIVERGED,
    StepFailed,
    Telemetry,
    check_parameters,
    check_validation,
)
from podway.framework.training import distributed, parent
from podway.framework.training.patience import Patience, history
from podway.framework.training.program import Counts, Program, build_program
from podway.framework.training.state import State
from podway.framework.training.validation import validator

Watch = Callable[[int, Mapping[str, float]], bool]
"""(step, validation metrics) → whether the run is left there: saved, and to be gone on with."""


class TrainingError(PodwayError, RuntimeError):
    """Training cannot go on; the message says where it stands."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How `train` ended.

    Attributes:
      directory: of the run.
      step: steps that are done.
      finished: whether the run is committed, rather than to be gone on with.
      early: why it finished before its last step; "": it did not.
    """

    directory: epath.Path
    step: int
    finished: bool
    early: str = ""


def train(
    experiment: config.Experiment,
    dataset: Dataset,
    workdir: epath.PathLike,
    others: Sequence[Dataset] = (),
    *,
    peers: distributed.Peers | None = None,
    profile: Span | None = None,
    choice: upgrade.Choice | None = None,
    before: epath.Path | None = None,
    watch: Watch | None = None,
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
      before: of a step of compression, the run that it compresses.
      watch: is asked after each evaluation; of several processes all answer alike.

    Raises:
      ConfigError: the devices, the dataset or the steps to profile don't fit the experiment.
      CheckpointError: the checkpoint in the run's directory is of another experiment.
      PeerError: the processes don't run the same.
      CodeChanged: there is a run that other code made or began, and no choice.
      LockedError: another process trains the run.
      TrainingError: the loss is not finite, or an exchange of rows overflowed.
    """
    peers, inputs = peers or distributed.Peers(), run.inputs(dataset, others)
    peers.agree(distributed.facts(experiment, inputs))
    found = run.directory(experiment, inputs, workdir, choice).name if peers.first else None
    target = epath.Path(workdir) / "runs" / experiment.name / peers.tell(found)
    if peers.tell(artifact.exists(target)):
        return finished(target)
    with lock.hold(target) if peers.first else contextlib.nullcontext() as held:
        if peers.tell(artifact.exists(target)):  # by who had the lock before
            return finished(target)
        origin = parent.find(experiment, inputs, target)
        return train_in(
            target,
            experiment,
            dataset,
            others,
            inputs,
            origin,
            peers,
            held,
            profile,
            before=before,
            watch=watch,
        )


def finished(directory: epath.Path) -> Outcome:
    """How a run ended that is committed."""
    manifest = artifact.read_manifest(directory, "run")
    return Outcome(directory, parent.steps_of(manifest), True, manifest.details.get("ended", ""))


def train_in(
    target: epath.Path,
    experiment: config.Experiment,
    dataset: Dataset,
    others: Sequence[Dataset],
    inputs: Mapping[str, str],
    origin: parent.Parent | None,
    peers: distributed.Peers,
    held: lock.Lock | None,
    profile: Span | None,
    *,
    before: epath.Path | None,
    watch: Watch | None,
) -> Outcome:
    """Begins the run in the folder `target`, or goes on with it; the rest is as for `train`.

    Args:
      inputs: the datasets' versions.
      origin: the run whose state to begin with; None: with a new one.
      held: the lock, in the process that has it.
      before: see `train`, and so for `watch`.
    """
    options, batch_size, clock = experiment.trainer, experiment.trainer.batch_size, peers.clock
    platforms.check()
    devices = mesh.build(experiment.mesh)
    distributed.check_mesh(devices)
    with clock.on("compile"):
        prepared, read = prepare(experiment, dataset, before)
        model = task.of_kind(prepared.model, task.TrainedModel)
        counts, constants = table_counts(experiment, dataset), model.constants(read)
        program = build_program(prepared, read.schema, devices, counts, constants)
    batches = train_batches(experiment, read, others, program)
    validate = validator(experiment, dataset, devices, clock)
    if peers.first:
        run.describe(experiment, dataset.schema, target, inputs)
        if origin:
            origin.hand_down(target)
    peers.see(target / "schema.json")
    checkpoints = run.open_checkpoints(experiment, inputs, target)
    state, done = restore_or_initialize(program, checkpoints, batch_size, peers, origin)
    patience = patience_of(experiment, target, checkpoints, origin, done)
    take_step = Profiled(
        program.step,
        target / "profile" if peers.first else None,
        profile,
        start=done,
        steps=options.steps,
    )
    reader = read_ahead(batches, done, place=program.place)
    telemetry = start_telemetry(experiment, program, devices, target, peers, done)
    early = peers.tell(patience.ended())
    try:
        with peers.failing_together(), distributed.stopping() as stopping:
            clock.enter("step")
            for batch in clock.waiting(reader) if not early else ():
                with jax.transfer_guard("disallow"):
                    state, metrics = take_step(done + 1, state, batch)
                done += 1
                telemetry.step(done, metrics)
                if held:
                    held.check()
                last, stop, validation = done == options.steps, stopping(done), None
                if last or done % options.evaluate_every == 0:
                    telemetry.flush()
                    validation = validate(program.inference_parameters(state))
                    check_validation(done, validation)
                    telemetry.record(done, {f"validation/{k}": v for k, v in validation.items()})
                    patience.take(done, validation)
                    early = peers.tell(patience.ended())
                    stop = stop or (watch is not None and watch(done, validation))
                if last or validation or stop or done % options.checkpoint_every == 0:
                    telemetry.flush()
                    check_parameters(done, jax.device_get(program.invalid(state)))
                    with telemetry.saving(done):
                        where, hurry = done * batch_size, stop and not last
                        checkpoints.save(done, state, where, validation, hurry=hurry)
                if last or stop or early:
                    break
            with clock.on("checkpoint"):
                checkpoints.wait()
                selected = run.select(checkpoints)
            complete = done == options.steps or bool(early)
            if complete and selected.step is None:
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
        if peers.first and not isinstance(sys.exception(), lock.LockedError):
            report.close(target, sys.exception())
    if complete and peers.first:
        run.commit(
            experiment,
            inputs,
            target,
            selected,
            steps=done,
            early=early,
            parent=before.name if before else experiment.trainer.parent,
        )
        report.write(target)
    return Outcome(target, done, complete, early)


def prepare(
    experiment: config.Experiment, dataset: Dataset, before: epath.Path | None
) -> tuple[config.Experiment, Dataset]:
    """What is compiled, and the dataset that it reads: the model knows what its loss takes from the
    dataset, and a step of compression the run before it, with whose parameters it begins."""
    model = task.of_kind(experiment.model, task.TrainedModel).prepared(dataset)
    trainer, read = experiment.trainer, dataset
    if before is not None:
        step = experiment.compression[-1]
        read = step.read(model, dataset, before)
        model = task.of_kind(step.trained(model, dataset, before), task.TrainedModel)
        if step.warm:
            trainer = dataclasses.replace(trainer, warm_start=config.WarmStart(str(before)))
    return dataclasses.replace(experiment, model=model, trainer=trainer), read


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
        share=options.share,
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
    origin: parent.Parent | None,
) -> tuple[State, int]:
    """The state to start from, and the batches that it has seen.

    A checkpoint that is damaged is set aside, and the one before it is taken, where one process
    trains alone: several might find different ones.
    """
    while (latest := peers.tell(checkpoints.latest())) is not None:
        try:
            state, position = checkpoints.restore(latest, program.state)
        except checkpoint.DamagedError as error:
            if not peers.alone:
                raise
            aside = checkpoints.set_aside(latest)
            print(f"train: {error.what}; kept as {aside.name}", file=sys.stderr, flush=True)
        else:
            return state, position // batch_size
    if origin is None:
        return program.initialize(), 0
    state = origin.restore(program.state)
    checkpoints.save(origin.step, state, origin.step * batch_size, origin.metrics)
    return state, origin.step


def patience_of(
    experiment: config.Experiment,
    target: epath.Path,
    checkpoints: checkpoint.Checkpoints,
    origin: parent.Parent | None,
    done: int,
) -> Patience:
    """What the evaluations up to step `done` have shown; a parent's do not count, but its last."""
    first = origin.step if origin else 0
    return Patience(experiment, history(target, checkpoints, first, done))


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
