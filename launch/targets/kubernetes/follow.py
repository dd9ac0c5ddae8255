"""Watching a launch until it is over: what changes is said, and what process 0 writes."""

import math
import re
import sys
import time
from collections.abc import Callable
from typing import Any

from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes import queue, status, training
from podway.launch.targets.kubernetes.cluster import Cluster, UnreachableError

INTERVAL = 3.0
"""Seconds between looks."""
PATIENCE = 600.0
"""Seconds that a cluster may not answer: as long as its control plane takes to be upgraded."""
GONE = "it is no longer in the cluster: somebody stopped it"
_MARGIN = 5
"""Seconds of a log that are read once more, as clocks differ."""
_LABEL = "jobset.sigs.k8s.io/jobset-name"
_STAMP = re.compile(r"^(\S+Z) (.*)$")


class AbsentError(LaunchError):
    """There is no launch of that name."""


def look(cluster: Cluster, name: str) -> tuple[status.Status, list[dict[str, Any]]]:
    """The status of a launch, and its pods. Raises AbsentError: there is none of that name."""
    job_set = cluster.get(training.API, "JobSet", name)
    if job_set is None:
        raise AbsentError(
            f"there is no launch {name!r} in the namespace {cluster.namespace!r}; `podway jobs`"
            " lists them"
        )
    pods = cluster.list("v1", "Pod", labels=f"{_LABEL}={name}")
    events = cluster.list("v1", "Event")
    workloads = []
    if training.QUEUE in (job_set["metadata"].get("labels") or {}):
        owner = job_set["metadata"]["uid"]
        workloads = [
            each
            for each in cluster.list(queue.API, "Workload")
            if any(ref["uid"] == owner for ref in each["metadata"].get("ownerReferences") or [])
        ]
    return status.of(job_set, pods, events, workloads), pods


def until_over(
    cluster: Cluster,
    name: str,
    *,
    say: Callable[[str], None] = lambda text: print(text, flush=True),
    interval: float = INTERVAL,
    patience: float = PATIENCE,
    besides: Callable[[status.Status, list[dict[str, Any]]], None] = lambda *_: None,
) -> status.Status:
    """Follows a launch to its end. An interruption ends the following alone, not the launch.

    Args:
      cluster: where it is.
      name: of the launch.
      say: prints a line.
      interval: seconds between looks.
      patience: seconds that a cluster may not answer.
      besides: what else is done at each look, with what it saw.

    Raises AbsentError: there is no such launch; UnreachableError: the patience is over.
    """
    tail, last, said = Tail(cluster, say), "", set[str]()
    known, answered, silent = set[str](), time.monotonic(), False
    while True:
        try:
            now, pods = look(cluster, name)
        except AbsentError:
            if not last:
                raise
            say(f"launch {name}: stopped")
            return status.Status("stopped", "", (GONE,))
        except UnreachableError as error:
            if not last or time.monotonic() - answered > patience:
                raise
            if not silent:
                say(f"  {error}; it is asked again")
            silent = True
            time.sleep(interval)
            continue
        if silent:
            say("  the cluster answers again")
        answered, silent = time.monotonic(), False
        for event in now.happened:
            if event.key not in known:
                say(f"  {event.text}")
        known |= {event.key for event in now.happened}
        if str(now) != last:
            say(f"launch {name}: {now}")
        for line in now.lines:
            if line not in said:
                say(f"  {line}")
        last, said = str(now), set(now.lines)
        tail.show(now.stage, pods)
        besides(now, pods)
        if now.over:
            return now
        time.sleep(interval)


def wait_until_gone(cluster: Cluster, name: str, interval: float = 1.0) -> None:
    """Waits until the cluster has nothing left of a launch that is being deleted."""
    answered = time.monotonic()
    while True:
        try:
            if cluster.get(training.API, "JobSet", name) is None:
                return
            answered = time.monotonic()
        except UnreachableError:
            if time.monotonic() - answered > PATIENCE:
                raise
        time.sleep(interval)


class Tail:
    """What the first process of a stage writes, each line once."""

    def __init__(self, cluster: Cluster, say: Callable[[str], None]):
        self._cluster, self._say = cluster, say
        self._shown: dict[str, tuple[str, float | None]] = {}

    def show(self, stage: str, pods: list[dict[str, Any]]) -> None:
        """What is new; of pods of earlier stages the rest, if they were shown before.

        `stage`: "" at the end, where it is the last one.
        """
        for of in status.STAGES:
            for pod in pods:
                name = pod["metadata"]["name"]
                wanted = of == (stage or status.STAGES[-1]) or name in self._shown
                if wanted and is_first(pod, of) and pod["status"].get("phase") != "Pending":
                    self._show(name, of)

    def _show(self, pod: str, container: str) -> None:
        seen, then = self._shown.get(pod, ("", None))
        now, since = time.monotonic(), None
        if then is not None:
            since = math.ceil(now - then) + _MARGIN
        try:
            lines = self._cluster.logs(pod, container, since=since).splitlines()
        except UnreachableError:
            return  # the node, of which the API server asks them, may answer the next time
        latest = seen
        for line in lines:
            stamp, text = divided(line)
            if stamp > seen:
                self._say(text)
                latest = max(latest, stamp)
        self._shown[pod] = latest, now


def divided(line: str) -> tuple[str, str]:
    """A line of a log with times: the time, and the text."""
    found = _STAMP.match(line)
    return (found[1], found[2]) if found else ("", line)


def is_first(pod: dict[str, Any], stage: str) -> bool:
    """Whether a pod is process 0 of a stage."""
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    index = labels.get("batch.kubernetes.io/job-completion-index", "0")
    return (
        labels.get(status.ROLE) == stage
        and labels.get("jobset.sigs.k8s.io/job-index", "0") == "0"
        and index == "0"
    )


def say_detached(name: str) -> None:
    """What a user reads who stops following."""
    print(
        f"\npodway: no longer followed, {name} goes on; `podway logs {name}` follows again,"
        f" `podway stop {name}` ends it",
        file=sys.stderr,
    )
