"""Watching a launch until it is over: what changes is said, and what process 0 writes."""

import re
import sys
import time
from collections.abc import Callable
from typing import Any

from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes import queue, status, training
from podway.launch.targets.kubernetes.cluster import Cluster

INTERVAL = 3.0
"""Seconds between looks."""
_LABEL = "jobset.sigs.k8s.io/jobset-name"
_STAMP = re.compile(r"^(\S+Z) (.*)$")


def look(cluster: Cluster, name: str) -> tuple[status.Status, list[dict[str, Any]]]:
    """The status of a launch, and its pods. Raises LaunchError: there is none of that name."""
    job_set = cluster.get(training.API, "JobSet", name)
    if job_set is None:
        raise LaunchError(
            f"there is no launch {name!r} in the namespace {cluster.namespace!r}; `podway jobs`"
            " lists them"
        )
    pods = cluster.list("v1", "Pod", labels=f"{_LABEL}={name}")
    events = [
        each
        for each in cluster.list("v1", "Event")
        if str((each.get("involvedObject") or {}).get("name", "")).startswith(name)
    ]
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
) -> status.Status:
    """Follows a launch to its end. An interruption ends the following alone, not the launch."""
    tail, last, said = Tail(cluster, say), "", set[str]()
    while True:
        now, pods = look(cluster, name)
        if str(now) != last:
            say(f"launch {name}: {now}")
            last, said = str(now), set()
        for line in now.lines:
            if line not in said:
                say(f"  {line}")
                said.add(line)
        tail.show(now.stage, pods)
        if now.over:
            return now
        time.sleep(interval)


class Tail:
    """What the first process of a stage writes, each line once."""

    def __init__(self, cluster: Cluster, say: Callable[[str], None]):
        self._cluster, self._say = cluster, say
        self._shown: dict[str, str] = {}

    def show(self, stage: str, pods: list[dict[str, Any]]) -> None:
        """What is new."""
        for pod in pods:
            if is_first(pod, stage) and pod["status"].get("phase") != "Pending":
                self._show(pod["metadata"]["name"], stage)

    def _show(self, pod: str, container: str) -> None:
        seen = self._shown.get(pod, "")
        for line in self._cluster.logs(pod, container).splitlines():
            stamp, text = divided(line)
            if stamp > seen:
                self._say(text)
                self._shown[pod] = stamp


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
        labels.get("jobset.sigs.k8s.io/replicatedjob-name") == stage
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
