"""`podway launch cloud-run`: a small experiment, or predictions, as a job of Cloud Run."""

import dataclasses
import os
import sys
from typing import Any, Literal

from podway.framework.config import Model
from podway.framework.error import ConfigError, check
from podway.launch.targets.cloud_run.target import CloudRunJob
from podway.launch.verbs.launch import deploy_cloud_run, file
from podway.launch.verbs.launch.deploy import problems
from podway.launch.verbs.launch.objects import Applying, agreed
from podway.launch.verbs.verb import Stage, Verb


@dataclasses.dataclass(frozen=True)
class LaunchCloudRun(Applying, Stage):
    """An experiment, where its artefacts lie, and the machine."""

    target: CloudRunJob = CloudRunJob()
    """Where, and on what."""
    target_file: str = ""
    """Python file with a function target() that returns a CloudRunJob(…). Its fields can be changed
    by --target.… as those of a config."""
    verb: Literal["run", "predict"] = "run"
    """What is done: data, training, evaluation and export; or lists for all users of the published
    model of the config's name."""
    detach: bool = False
    """Don't follow the execution to its end."""


def launch(options: LaunchCloudRun) -> None:
    """Plans, and, unless it is a dry run, asks, makes the job, runs and follows it."""
    check(
        type(options.experiment.model) is not Model,
        f"the experiment {options.experiment.name!r} has no model: set `model` and `optimizer`",
    )
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # nothing runs here

    from podway.launch.targets import frozen
    from podway.launch.targets.cloud_run import check as own
    from podway.launch.targets.cloud_run import job

    found = job.Job(
        options.experiment,
        frozen.freeze(options.experiment),
        options.target,
        options.workdir,
        options.verb,
    )
    made, missing = job.job(found), found.problems()
    wrong = own.problems(made)
    assert not wrong, wrong
    said = "\n".join([plan(found), *problems(missing)])
    if options.dry_run:
        deploy_cloud_run.write([made], options.output)
        print(said, file=sys.stderr, flush=True)
        sys.exit(1 if missing else 0)
    print(said, flush=True)
    if missing:
        raise ConfigError(f"nothing is launched: {missing[0]}")
    _apply(options, found, made)


def plan(found: Any) -> str:
    """What will be done, on what."""
    target = found.target
    return "\n".join(
        [
            f"job {found.name}: {found.verb} of {found.experiment.name}",
            f"  machine    {target.cpu} cores, {target.memory}; up to {target.hours:g} h,"
            f" {target.retries} retries",
            f"  place      {target.project or '?'}, {target.region}",
            f"  workdir    {found.workdir}",
            *(f"  note       {each}" for each in found.notes()),
        ]
    )


def _apply(options: LaunchCloudRun, found: Any, made: dict[str, Any]) -> None:
    from podway.launch.targets.cloud_run.connect import connect
    from podway.launch.targets.error import LaunchError

    cloud = connect(options.target)
    if not agreed(options, "launch it?"):
        raise LaunchError("nothing is launched; --yes launches without asking")
    put(found)
    cloud.put_job(made)
    execution = cloud.run_job(found.name)
    print(f"execution {execution.rpartition('/')[2]}", flush=True)
    if not options.detach:
        cloud.follow(execution, lambda text: print(text, flush=True))
        print(f"{found.name}: done")


def put(found: Any) -> None:
    """Writes the frozen experiment into the workdir, its experiment.json last."""
    from etils import epath

    from podway.framework import artifact
    from podway.launch.targets.frozen import FILE

    home = epath.Path(found.workdir) / found.folder
    for path, content in sorted(found.frozen.files.items(), key=lambda each: each[0] == FILE):
        file = home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if path == FILE:
            artifact.write_atomically(file, content.decode())
        else:
            file.write_bytes(content)


def target(overrides: list[str]) -> dict[str, Any]:
    """The target of --target-file, whose fields the other options change."""
    return file.chosen(overrides, CloudRunJob)


VERB = Verb(
    "a small training, or predictions, as a job of Cloud Run",
    LaunchCloudRun,
    launch,
    target,
    example="podway launch cloud-run CONFIG --workdir gs://B/w --target.project P"
    " --target.image NAME@sha256:DIGEST --dry-run",
)
