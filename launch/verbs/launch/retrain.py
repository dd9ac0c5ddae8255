"""`podway launch retrain`: an experiment that a cluster trains anew by the clock."""

import dataclasses
import os
from typing import Any

from podway.framework.config import Model
from podway.framework.error import check
from podway.launch.targets.kubernetes.schedule import Schedule
from podway.launch.targets.kubernetes.target import Kubernetes
from podway.launch.verbs.launch import file
from podway.launch.verbs.launch.objects import Applying
from podway.launch.verbs.verb import Stage, Verb


@dataclasses.dataclass(frozen=True)
class LaunchRetrain(Applying, Stage):
    """An experiment, where its artefacts lie, the cluster, and the clock."""

    target: Kubernetes = Kubernetes()
    """The cluster, and what of it is taken: by the training, if it is more than a CPU machine."""
    target_file: str = ""
    """Python file with a function target() that returns a Kubernetes(…). Its fields can be changed
    by --target.… as those of a config."""
    schedule: Schedule = Schedule()
    """When."""


def launch(options: LaunchRetrain) -> None:
    """Plans, and, unless it is a dry run, asks and applies."""
    check(
        type(options.experiment.model) is not Model,
        f"the experiment {options.experiment.name!r} has no model: set `model` and `optimizer`",
    )
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # nothing runs here

    from podway.launch.targets import frozen
    from podway.launch.targets.kubernetes import check as own
    from podway.launch.targets.kubernetes import retrain
    from podway.launch.targets.kubernetes.launch import Launch, check_mesh, check_trained_in_steps
    from podway.launch.verbs.launch import objects

    found = Launch(
        options.experiment, frozen.freeze(options.experiment), options.target, options.workdir
    )
    check_trained_in_steps(found)
    check_mesh(found)
    made = retrain.objects(found, options.schedule)
    wrong = own.problems(made)
    assert not wrong, wrong
    said = plan(found, options.schedule)
    missing = retrain.problems(found)
    waits = options.target.queue or options.target.priority
    if waits and not (options.dry_run or missing):
        _check_queue(found, made)
    objects.settle(options, made, said, missing, options.target.context)


def _check_queue(found: Any, made: list[dict[str, Any]]) -> None:
    from podway.launch.targets.kubernetes import admission, retrain, training
    from podway.launch.targets.kubernetes.cluster import Cluster

    cluster = Cluster(found.target.namespace, found.target.context)
    admission.check(cluster, made[-1] if retrain.is_alone(found) else training.alone(found))


def plan(found: Any, schedule: Schedule) -> str:
    """What will be trained, when, and on what."""
    from podway.launch.targets.kubernetes import retrain

    alone = retrain.is_alone(found)
    what = "a cycle of `podway loop` in its own pod"
    what += "" if alone else ", which hands the training to a JobSet"
    return "\n".join(
        [
            f"retrain {found.experiment.name} at {schedule.schedule} ({schedule.time_zone})",
            f"  as         CronJob {retrain.name(found)}: {what}",
            f"  on         {found.pool.topology}",
            f"  workdir    {found.workdir}",
            f"  late       up to {schedule.deadline_seconds} s; not while the one before goes on",
            *(f"  note       {each}" for each in found.notes()),
        ]
    )


def target(overrides: list[str]) -> dict[str, Any]:
    """The target of --target-file, whose fields the other options change."""
    return file.chosen(overrides, Kubernetes)


VERB = Verb(
    "have a cluster train by the clock",
    LaunchRetrain,
    launch,
    target,
    example='podway launch retrain CONFIG --schedule.schedule "0 3 * * 1"'
    " --target.accelerator v5e:4x4 --workdir gs://B/w --dry-run",
)
