"""The chain, stage by stage. A stage whose artefact exists is not run again.

Each function runs the stages before it that have no artefact yet. Heavy imports live inside, so
that the command starts at once and a stage loads only what it needs.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

from etils import epath

from podway.framework import artifact, exit_codes
from podway.framework.artifact import upgrade
from podway.framework.artifact.upgrade import Choice
from podway.framework.config import Experiment, Model, previous
from podway.framework.error import check
from podway.launch import narration
from podway.launch.tracking.session import teller, tracked

if TYPE_CHECKING:
    from podway.beam.engines.options import Engine
    from podway.export.signature.minisign import SecretKey
    from podway.framework.input.batches import Dataset
    from podway.framework.runs.profiling import Span
    from podway.framework.training.distributed import Cluster
    from podway.framework.training.loop import Watch


class Stopped(Exception):
    """Training was asked to stop, saved its state, and can go on."""

    exit_code = exit_codes.PREEMPTED


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """What a training process needs to know that does not change its result.

    Attributes:
      cluster: the other processes; None: there are none.
      profile: steps to trace.
      deterministic: same bits each time, on a GPU too.
      compile_cache: folder of compiled programs (compilation.folder).
      code: what becomes of artefacts that other code made (framework/artifact/upgrade.py).
      watch: may leave the run at an evaluation (framework/training/loop.py).
    """

    cluster: Cluster | None = None
    profile: Span | None = None
    deterministic: bool = False
    compile_cache: str = ""
    code: Choice | None = None
    watch: Watch | None = None


def dataset(
    experiment: Experiment,
    workdir: epath.PathLike,
    engine: Engine | None = None,
    *,
    since: str | None = None,
    code: Choice | None = None,
    look: bool = False,
) -> epath.Path:
    """Raw events → dataset; with `since`, that version (or "latest") and the files new since.

    Without an engine it runs in this process. Needs no JAX. Here and below, `code` says what
    becomes of artefacts that other code made; CodeChanged is raised without it, unless they are
    only to `look` at.
    """
    from podway.beam import place

    if since is None:
        directory = place.directory(experiment.data, workdir, code, look=look)
        fresh = not artifact.exists(directory)
        stage = narration.begin("data", "dataset", experiment.data, directory, fresh=fresh)
        if fresh:
            check(
                importlib.util.find_spec("apache_beam") is not None,
                f"the dataset {directory} does not exist, and apache_beam is not installed, which"
                f" builds it: run `podway data {experiment.name} --workdir {workdir}` with the same"
                " overrides where podway[data] is installed, or install it here",
            )
            from podway.beam import dataset as beam_dataset

            beam_dataset.build(experiment.data, workdir, engine, code)
            stage.end(directory)
    else:
        from podway.beam import dataset as beam_dataset

        print(f"data: looking for raw files that are new since {since}", flush=True)
        directory, fresh = beam_dataset.extend(experiment.data, workdir, since, engine, code)
        print(f"data: {'extended:' if fresh else 'nothing new:'} {directory}", flush=True)
    if fresh:
        from podway.beam import overview

        print(overview.report(artifact.read_manifest(directory, "dataset")))
    return directory


def data(
    experiment: Experiment,
    workdir: epath.PathLike,
    *,
    code: Choice | None = None,
    look: bool = False,
) -> Dataset:
    """Raw events → dataset, opened."""
    directory = dataset(experiment, workdir, code=code, look=look)

    from podway.framework.input.batches import Dataset

    return Dataset.open(directory)


def is_fitted(experiment: Experiment) -> bool:
    """Whether the parameters are computed at once, not in steps (framework/training/fitting.py)."""
    from podway.framework import task

    return isinstance(experiment.model, task.FittedModel)


def takes_steps(experiment: Experiment) -> bool:
    """Whether the experiment's own run is trained in steps, rather than fitted or converted."""
    if experiment.compression:
        return experiment.compression[-1].trains
    return type(experiment.model) is not Model and not is_fitted(experiment)


@tracked
def train(
    experiment: Experiment, workdir: epath.PathLike, options: TrainOptions | None = None
) -> tuple[Dataset, epath.Path]:
    """Dataset → run. Raises Stopped after SIGTERM."""
    check(
        type(experiment.model) is not Model,
        f"the experiment {experiment.name!r} has no model: set `model` and `optimizer`",
    )
    from podway.framework.compression import convert
    from podway.framework.devices import allocator, compilation
    from podway.framework.runs import run
    from podway.framework.training import distributed, fitting, loop

    options = options or TrainOptions()
    before = _before(experiment, workdir, options)
    cluster = options.cluster or distributed.Cluster()
    allocator.reuse()
    compilation.keep(compilation.folder(options.compile_cache, workdir))
    if options.deterministic:
        compilation.make_deterministic()
    with distributed.join(cluster) as peers:
        dataset, others = datasets(
            experiment, workdir, build=not cluster.several, code=options.code
        )
        stage = directory = None
        if peers.first:
            inputs = run.inputs(dataset, others)
            directory = run.directory(experiment, inputs, workdir, options.code)
            fresh = not artifact.exists(directory)
            stage = narration.begin("train", "run", experiment, directory, fresh=fresh)
            if fresh and (shaped := run.shaped_by(experiment, inputs, directory)):
                print(f"  (not the latest run, but a new one: {'; '.join(shaped)})", flush=True)
            if fresh:
                narration.unread_weights(experiment.model, dataset.schema)
        with teller().following(directory):
            if not takes_steps(experiment):
                if before:
                    directory = convert.convert(experiment, dataset, before, workdir, options.code)
                else:
                    directory = fitting.fit(experiment, dataset, workdir, options.code)
                if stage:
                    stage.end(directory)
                return dataset, directory
            outcome = loop.train(
                experiment,
                dataset,
                workdir,
                others,
                peers=peers,
                profile=options.profile,
                choice=options.code,
                before=before,
                watch=options.watch,
            )
    if outcome.early:
        print(f"train: {outcome.early}", flush=True)
    if not outcome.finished:
        raise Stopped(f"saved at step {outcome.step}; the same command resumes there")
    if stage:
        stage.end(outcome.directory)
    return dataset, outcome.directory


def _before(
    experiment: Experiment, workdir: epath.PathLike, options: TrainOptions
) -> epath.Path | None:
    """The run that the experiment's last step of compression begins with, trained if need be.

    Several processes do not train two runs one after the other; then it must be there.
    """
    if not experiment.compression:
        return None
    earlier = previous(experiment)
    if options.cluster is None or not options.cluster.several:
        return train(earlier, workdir, dataclasses.replace(options, profile=None, watch=None))[1]
    directory = _run(earlier, workdir, options.code)
    check(
        artifact.exists(directory),
        f"the run {directory}, which is to be compressed, has not finished; train it before several"
        f" processes go on from it: the same command without the last step of compression",
    )
    return directory


def longer(
    experiment: Experiment,
    workdir: epath.PathLike,
    more: Sequence[int],
    options: TrainOptions,
    *,
    train_them: bool = True,
) -> Experiment:
    """The experiment that goes on from the run of this one for `more` steps, and so on for each.

    Trains those before the last one that have not finished, or, unless `train_them`, raises
    ConfigError. Raises Stopped after SIGTERM.
    """
    if not more:
        return experiment
    check(
        takes_steps(experiment),
        f"--more: the experiment {experiment.name!r} is not trained in steps",
    )
    from podway.framework.runs import run
    from podway.framework.training import parent

    check(min(more) >= 1, f"--more is {min(more)}; give 1 step or more")
    for steps in more:
        if train_them:
            _, directory = train(experiment, workdir, options)
        else:
            dataset, others = datasets(experiment, workdir, build=False, code=options.code)
            inputs = run.inputs(dataset, others)
            directory = run.directory(experiment, inputs, workdir, options.code)
            check(
                artifact.exists(directory),
                f"--more: the run {directory} has not finished; train it first, by the same"
                " command without the last number of --more",
            )
        experiment = parent.longer(experiment, directory, steps)
    return experiment


def datasets(
    experiment: Experiment, workdir: epath.PathLike, *, build: bool, code: Choice | None = None
) -> tuple[Dataset, list[Dataset]]:
    """The experiment's dataset and those of its mixture; built if missing, where `build` says so.

    Raises ConfigError where one is missing that shall not be built: thousands of processes must not
    wait for one that reads raw files.
    """
    parts = (experiment.data, *(component.data for component in experiment.mixture))
    if build:
        experiments = [dataclasses.replace(experiment, data=part) for part in parts]
        found = [data(one, workdir, code=code) for one in experiments]
        return found[0], found[1:]

    from podway.beam import place
    from podway.framework.input.batches import Dataset

    found = []
    for part in parts:
        directory = place.directory(part, workdir, code)
        check(
            artifact.exists(directory),
            f"the dataset {directory} does not exist; build it before several processes train:"
            f" `podway data {experiment.name} --workdir {workdir}` with the same overrides",
        )
        found.append(Dataset.open(directory))
    return found[0], found[1:]


def saved_step(experiment: Experiment, workdir: epath.PathLike, code: Choice | None = None) -> int:
    """The last step of the experiment's run of which there is a checkpoint; 0 without one."""
    from podway.framework.runs import run

    return max(run.steps(_run(experiment, workdir, code)), default=0)


def is_trained(experiment: Experiment, workdir: epath.PathLike, code: Choice | None = None) -> bool:
    """Whether the experiment's run is there, and complete."""
    return artifact.exists(_run(experiment, workdir, code))


def _run(experiment: Experiment, workdir: epath.PathLike, code: Choice | None) -> epath.Path:
    """The folder of a run, of which there may be nothing yet."""
    from podway.framework.runs import run

    dataset, others = datasets(experiment, workdir, build=False, code=code)
    inputs = run.inputs(dataset, others)
    return run.directory(experiment, inputs, workdir, code, look=True)


@tracked
def evaluate(
    experiment: Experiment, workdir: epath.PathLike, code: Choice | None = None
) -> tuple[Dataset, epath.Path]:
    """Run → evaluation; prints the table. Returns dataset and run."""
    dataset, trained = train(experiment, workdir, TrainOptions(code=code))

    from podway.framework.comparison import evaluation
    from podway.framework.report import run as report

    manifest = artifact.read(trained, "run")
    directory = evaluation.directory(experiment, manifest, workdir, code)
    fresh = not artifact.exists(directory)
    stage = narration.begin("evaluate", "evaluation", experiment, directory, fresh=fresh)
    if fresh:
        evaluation.compare(experiment, trained, dataset, workdir, code)
        report.write(trained)
        stage.end(directory)
    artifact.read(directory, "evaluation")
    print((directory / "table.txt").read_text(), end="")
    teller().tell("evaluation", directory)
    return dataset, trained


@tracked
def export(
    experiment: Experiment,
    workdir: epath.PathLike,
    code: Choice | None = None,
    key: SecretKey | None = None,
) -> epath.Path:
    """Run → published, signed model. Returns its directory. With a gate it does not serve yet."""
    dataset, trained = train(experiment, workdir, TrainOptions(code=code))
    return publish(experiment, dataset, trained, workdir, code, key=key)


@tracked
def run(experiment: Experiment, workdir: epath.PathLike, code: Choice | None = None) -> epath.Path:
    """All stages but the gate. Returns the published model's directory."""
    dataset, trained = evaluate(experiment, workdir, code)
    return publish(experiment, dataset, trained, workdir, code)


@tracked
def publish(
    experiment: Experiment,
    dataset: Dataset,
    trained: epath.Path,
    workdir: epath.PathLike,
    code: Choice | None = None,
    *,
    serve: bool = True,
    key: SecretKey | None = None,
) -> epath.Path:
    """A run, which is there → published model. Returns its directory.

    Without `serve` it waits for a promotion; with a key it is signed, also if it is there already.
    """
    from podway.export import identity
    from podway.export.silence import silence_tensorflow
    from podway.framework.runs import run

    manifest = artifact.read(trained, "run")
    inputs = {"run": manifest.version, **manifest.inputs}
    published = identity.current(
        experiment, inputs=inputs, workdir=workdir, choice=code, serve=serve
    )
    if published is not None:
        if key is not None:
            from podway.export.signature import signed

            signed.sign(published, signed.place(published), key)
        narration.begin("export", "model", experiment, published, fresh=False)
        teller().tell("model", published)
        return published
    home = epath.Path(workdir) / "models" / experiment.name
    said = narration.begin("export", "model", experiment, home, fresh=True)
    with silence_tensorflow():  # TensorFlow's native code greets
        from podway.export import stage
    _, _, parameters = run.load(trained, experiment)
    served = stage.served(experiment, dataset)
    published = stage.export(
        served,
        parameters=parameters,
        inputs=inputs,
        workdir=workdir,
        run_code=upgrade.codes(trained, "run"),
        serve=serve,
        key=key,
    )
    said.end(published)
    teller().tell("model", published)
    return published
