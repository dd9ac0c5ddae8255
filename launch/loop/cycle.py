"""One cycle: check the new files, extend the dataset, train, evaluate, export, gate, roll out.

Each step returns the cycle with what it made and the name of the next step, which is written before
that one begins. The steps themselves are idempotent, for what they make has a version: so a cycle
that was killed anywhere goes on with the step it was at, on the files it began with. What comes
meanwhile waits for the next one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from etils import epath

from podway.beam import dataset as datasets
from podway.beam.check import check as checks
from podway.beam.error import DataError
from podway.export import layout
from podway.export.versions import promote
from podway.framework import artifact, task
from podway.framework.config import Data, Experiment, WarmStart
from podway.framework.error import ConfigError, check
from podway.launch import stages
from podway.launch.gate import contender
from podway.launch.loop import increment, record, release
from podway.launch.loop.look import News
from podway.launch.loop.record import Aside, Cycle, Step


@dataclasses.dataclass(frozen=True)
class Work:
    """What a cycle is about.

    Attributes:
      experiment: to be trained again.
      workdir: where its artefacts lie.
      server: HOST:PORT of a server that follows a rollout; "": a new version serves at once.
      elsewhere: has `podway train` run on other machines until the run is there, given the
        options that it takes beside the experiment; None: training runs here.
    """

    experiment: Experiment
    workdir: epath.Path
    server: str = ""
    elsewhere: Callable[[Sequence[str]], None] | None = None

    @property
    def home(self) -> epath.Path:
        """Where the record of the loop is kept."""
        return record.folder(self.experiment.name, self.workdir)

    @property
    def datasets(self) -> epath.Path:
        """The folder of the dataset's versions."""
        return self.workdir / "datasets" / self.experiment.data.name


def begin(work: Work, cycles: tuple[Cycle, ...], news: News, why: str) -> Cycle:
    """The next cycle, decided and written."""
    loop, number = work.experiment.loop, len(cycles) + 1
    every = loop.rebuild_every
    rebuild = loop.dataset == "rebuild" or bool(every and number % every == 0)
    cycle = Cycle(
        number=number,
        began=record.now(),
        why=why,
        files=news.files,
        exclude=news.exclude,
        after="" if news.changed else last_dataset(cycles),
        rebuild=rebuild,
        champion=champion(work),
    )
    return record.write(work.home, cycle)


def last_dataset(cycles: tuple[Cycle, ...]) -> str:
    """Version of the dataset that the last cycle left which passed its checks; "": none."""
    return next((cycle.dataset for cycle in reversed(cycles) if cycle.dataset), "")


def champion(work: Work) -> int | None:
    """The version that a new one is held against."""
    name = work.experiment.name
    if not promote.numbers(layout.models(work.workdir) / name):
        return None
    return contender.champion(name, work.workdir, work.experiment.gate.label)


def go_on(work: Work, cycle: Cycle) -> Cycle:
    """Runs the cycle to its end. Raises stages.Stopped after SIGTERM, and what its stages raise."""
    while not cycle.outcome:
        print(f"loop: cycle {cycle.number}, {cycle.step}", flush=True)
        cycle = record.write(work.home, _STEPS[cycle.step](work, cycle))
    return cycle


def _check(work: Work, cycle: Cycle) -> Cycle:
    """The new files by themselves, against the last dataset."""
    passed = dataclasses.replace(cycle, step="data")
    if not cycle.after or not cycle.files:
        return passed
    news = News(files=cycle.files)
    found = increment.inspect(work.experiment, work.workdir, news, work.datasets / cycle.after)
    if found.report:
        print(found.report, flush=True)
    if found.passed:
        return passed
    return _set_aside(work, cycle, found.reason)


def _set_aside(work: Work, cycle: Cycle, reason: str) -> Cycle:
    """Ends a cycle whose files are not fit for use; later ones leave these out."""
    identities = increment.identities(work.experiment.data)
    entries = {(each.path, each.identity): each for each in record.asides(work.home)}
    for path in cycle.files:
        if path in identities:
            entry = Aside(path, identities[path], cycle.number, reason)
            entries.setdefault((path, entry.identity), entry)
    record.set_aside(work.home, tuple(entries.values()))
    return cycle.over("stopped", f"the data check: {reason}")


def _data(work: Work, cycle: Cycle) -> Cycle:
    """The new dataset: the last one and the new files, or all files anew."""
    data = work.experiment.data
    wanted = {*cycle.files, *(_raw(work, cycle.after) if cycle.after else ())}
    late = [path for path in increment.identities(data) if path not in wanted]
    data = dataclasses.replace(data, exclude=(*data.exclude, *late), version="")
    try:
        directory = _built(work, cycle, data)
    except DataError as error:
        return _set_aside(work, cycle, str(error))
    if (reason := _wrong(work, cycle, directory)) and cycle.after:
        return _set_aside(work, cycle, reason)
    if reason:
        return cycle.over("stopped", f"the data check: {reason}")
    found = dataclasses.replace(cycle, dataset=directory.name, step="train")
    return dataclasses.replace(found, warm_start=_warm_start(work, found))


def _built(work: Work, cycle: Cycle, data: Data) -> epath.Path:
    if cycle.after and not cycle.rebuild:
        try:
            return datasets.extend(data, work.workdir, cycle.after, choice="keep")[0]
        except ConfigError as error:  # of another config, or not kept to be extended
            print(f"loop: {error}; it is built anew", flush=True)
    return datasets.build(data, work.workdir, choice="keep")


def _wrong(work: Work, cycle: Cycle, directory: epath.Path) -> str:
    """What the dataset as a whole fails; ""."""
    last = last_dataset(record.cycles(work.home))
    against = work.datasets / last if last and not cycle.after else None
    schema = work.experiment.loop.schema or None
    if schema is None and against is None:
        return ""
    report = checks.check(
        directory, schema=schema, against=against, limits=work.experiment.loop.limits
    )
    print(report.text(), flush=True)
    if not report.errors:
        return ""
    worst = report.findings[0]
    return f"{worst.feature} {worst.check}: {worst.found}, expected {worst.expected}".lstrip()


def _raw(work: Work, version: str) -> tuple[str, ...]:
    manifest = artifact.read_manifest(work.datasets / version, "dataset")
    return tuple(each["path"] for each in manifest.details["raw"])


def _warm_start(work: Work, cycle: Cycle) -> str:
    """The run of the version that serves, if its ids are those of the new dataset."""
    model = work.experiment.model
    if not work.experiment.loop.warm_start or cycle.champion is None:
        return ""
    if not isinstance(model, task.TrainedModel):
        return ""
    home = layout.models(work.workdir) / work.experiment.name / str(cycle.champion)
    inputs = artifact.read_manifest(home, "model", manifest=layout.MANIFEST).inputs
    run = work.workdir / "runs" / work.experiment.name / inputs["run"]
    if inputs["dataset"] not in _ancestors(work, cycle.dataset) or not artifact.exists(run):
        return ""
    return str(run)


def _ancestors(work: Work, version: str) -> set[str]:
    """A dataset's version, and those that it extends."""
    found = {version}
    while (work.datasets / version).exists():
        since = artifact.read_manifest(work.datasets / version, "dataset").details.get("since")
        if not since or since["version"] in found:
            break
        version = since["version"]
        found.add(version)
    return found


def trained(work: Work, cycle: Cycle) -> Experiment:
    """The experiment as the cycle trains it: of its dataset, from its first parameters."""
    experiment = work.experiment
    data = dataclasses.replace(experiment.data, version=cycle.dataset)
    trainer = experiment.trainer
    if cycle.warm_start:
        trainer = dataclasses.replace(
            trainer,
            warm_start=WarmStart(run=cycle.warm_start),
            steps=experiment.loop.steps or trainer.steps,
        )
    return dataclasses.replace(experiment, data=data, trainer=trainer)


def overrides(work: Work, cycle: Cycle) -> list[str]:
    """The options of `podway train` that make of the experiment what the cycle trains."""
    found = ["--data.version", cycle.dataset, "--code", "keep"]
    if cycle.warm_start:
        steps = trained(work, cycle).trainer.steps
        found += ["--trainer.warm-start.run", cycle.warm_start, "--trainer.steps", str(steps)]
    return found


def _train(work: Work, cycle: Cycle) -> Cycle:
    experiment = trained(work, cycle)
    if work.elsewhere is not None and not stages.is_trained(experiment, work.workdir, "keep"):
        work.elsewhere(overrides(work, cycle))
        check(
            stages.is_trained(experiment, work.workdir, "keep"),
            f"training has ended elsewhere, and there is no run of it in {work.workdir}: are both"
            " images of one version of Podway?",
        )
    _, directory = stages.train(experiment, work.workdir, stages.TrainOptions(code="keep"))
    return dataclasses.replace(cycle, run=directory.name, step="evaluate")


def _evaluate(work: Work, cycle: Cycle) -> Cycle:
    from podway.framework.comparison import evaluation

    experiment = trained(work, cycle)
    _, run = stages.evaluate(experiment, work.workdir, "keep")
    manifest = artifact.read_manifest(run, "run")
    directory = evaluation.directory(experiment, manifest, work.workdir, "keep")
    return dataclasses.replace(cycle, evaluation=directory.name, step="export")


def _export(work: Work, cycle: Cycle) -> Cycle:
    directory = release.export(trained(work, cycle), work.workdir)
    number = int(directory.name)
    found = dataclasses.replace(cycle, model=number, step="gate")
    if number == cycle.champion:
        return found.over("unchanged", f"version {number} serves, and is of these data already")
    return found


def _gate(work: Work, cycle: Cycle) -> Cycle:
    assert cycle.model is not None
    verdict = release.gate(trained(work, cycle), work.workdir, cycle.model)
    found = dataclasses.replace(cycle, gate=verdict.directory, step="rollout")
    return found if verdict.passed else found.over("stopped", f"the gate: {verdict.reason}")


def _rollout(work: Work, cycle: Cycle) -> Cycle:
    assert cycle.model is not None
    served = release.roll_out(trained(work, cycle), work.workdir, cycle.model, work.server)
    return cycle.over("served" if served.passed else "stopped", served.reason)


_STEPS: Mapping[Step, Callable[[Work, Cycle], Cycle]] = {
    "check": _check,
    "data": _data,
    "train": _train,
    "evaluate": _evaluate,
    "export": _export,
    "gate": _gate,
    "rollout": _rollout,
}
