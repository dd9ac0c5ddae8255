"""`podway launch queue`: an administrator's one-time set-up of quotas and queues for Kueue."""

import dataclasses
from typing import Any

from podway.framework.error import check
from podway.launch.targets.kubernetes.quotas import Queue
from podway.launch.verbs.launch import file
from podway.launch.verbs.launch.objects import Applying
from podway.launch.verbs.verb import Verb


@dataclasses.dataclass(frozen=True)
class LaunchQueue(Applying):
    """What may be used, and by whom."""

    target: Queue = Queue()
    """The queue."""
    target_file: str = ""
    """Python file with a function target() that returns a Queue(…). Its fields can be changed by
    --target.… as those of a config."""


def launch(options: LaunchQueue) -> None:
    """Plans, and, unless it is a dry run, asks and applies."""
    from podway.launch.targets.kubernetes import check as own
    from podway.launch.targets.kubernetes import queue
    from podway.launch.verbs.launch import objects

    check(bool(options.target.quotas), "--target.quotas is missing; give what there is, v5e:4x4=64")
    made = queue.objects(options.target)
    wrong = [*own.problems(made), *queue.problems(made)]
    assert not wrong, wrong
    if not options.dry_run and any(each.flexible for each in queue.flavors(options.target)):
        _check_requests(options.target.context)
    objects.settle(options, made, plan(options.target), [], options.target.context)


def _check_requests(context: str) -> None:
    """Without them its AdmissionCheck is never active, and the queue takes no launch at all."""
    from podway.launch.targets.kubernetes import queue
    from podway.launch.targets.kubernetes.cluster import Cluster

    Cluster("default", context).require(*queue.REQUEST)


def plan(target: Queue) -> str:
    """What the queue will have."""
    from podway.launch.targets.kubernetes import queue

    lines = [f"queue {target.name}, for launches from {', '.join(target.namespaces)}"]
    for each in queue.flavors(target):
        slice_ = each.pool.hosts * each.pool.count
        lines.append(
            f"  {each.name:<20} {each.count} chips: {each.count // slice_} of this topology"
        )
    lines.append(f"  machines             {target.cpu} cores, {target.memory} of memory")
    lines.append(f"launches name it by --target.queue {target.name}")
    return "\n".join(lines)


def target(overrides: list[str]) -> dict[str, Any]:
    """The target of --target-file, whose fields the other options change."""
    return file.chosen(overrides, Queue)


VERB = Verb(
    "set up a queue for launches, once (Kueue)",
    LaunchQueue,
    launch,
    target,
    of="",
    example="podway launch queue --target.quotas v5e:4x4:spot=64 h100:8=16 --dry-run",
)
