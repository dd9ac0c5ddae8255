"""`podway jobs`, `podway logs`, `podway stop`: what was launched on a cluster."""

import dataclasses
import sys
import time
from typing import Any

from podway.launch.verbs.verb import Subject, Verb


@dataclasses.dataclass(frozen=True)
class Place:
    """Which cluster."""

    namespace: str = "podway"
    """Where the launches are."""
    context: str = ""
    """Of the kubeconfig; empty: its current one."""


@dataclasses.dataclass(frozen=True)
class Jobs(Place):
    """Which cluster, and how it is printed."""

    json: bool = False
    """Print JSON."""


@dataclasses.dataclass(frozen=True)
class Logs(Place):
    """Which launch, and which of its processes."""

    launch: Subject = ""
    pod: str = ""
    """Name of a pod; without one the first process of the stage that goes on."""
    tail: int = 0
    """Print the last lines of what is there, and end; 0: follow to the launch's end."""


@dataclasses.dataclass(frozen=True)
class Stop(Place):
    """Which launch."""

    launch: Subject = ""
    wait: bool = True
    """Wait until its processes have saved and ended."""


def jobs(options: Jobs) -> None:
    """Prints the launches of a namespace."""
    import json

    from podway.launch.targets.kubernetes import follow, training
    from podway.launch.targets.kubernetes.launch import OWN

    cluster = _cluster(options)
    rows = []
    for each in cluster.list(training.API, "JobSet", labels="app.kubernetes.io/managed-by=podway"):
        metadata = each["metadata"]
        now, _ = follow.look(cluster, metadata["name"])
        notes = metadata.get("annotations") or {}
        rows.append(
            {
                "launch": metadata["name"],
                "experiment": notes.get(f"{OWN}/experiment", ""),
                "phase": now.phase,
                "stage": now.stage,
                "pods": f"{now.running}/{now.wanted}" if now.wanted else "",
                "restarts": now.restarts,
                "since": metadata.get("creationTimestamp", ""),
                "workdir": notes.get(f"{OWN}/workdir", ""),
                "says": now.lines[0] if now.lines else "",
            }
        )
    if options.json:
        print(json.dumps(rows, indent=1))
    elif not rows:
        print(f"no launches in the namespace {options.namespace!r}")
    else:
        print(_table(rows))


def logs(options: Logs) -> None:
    """Prints what a launch's first process writes, until the launch is over."""
    from podway.launch.targets.error import LaunchError
    from podway.launch.targets.kubernetes import follow

    cluster = _cluster(options)
    if not (options.pod or options.tail):
        try:
            end = follow.until_over(cluster, options.launch)
        except KeyboardInterrupt:
            follow.say_detached(options.launch)
            return
        if end.phase == "failed":
            sys.exit(1)
        return
    now, pods = follow.look(cluster, options.launch)
    wanted = [
        pod
        for pod in pods
        if pod["metadata"]["name"] == options.pod
        or (not options.pod and follow.is_first(pod, now.stage))
    ]
    if not wanted:
        names = ", ".join(sorted(pod["metadata"]["name"] for pod in pods)) or "none"
        raise LaunchError(f"there is no such pod of {options.launch}; there are: {names}")
    for pod in wanted:
        container = pod["spec"]["containers"][0]["name"]
        for line in cluster.logs(
            pod["metadata"]["name"], container, tail=options.tail
        ).splitlines():
            print(follow.divided(line)[1])


def stop(options: Stop) -> None:
    """Ends a launch: its processes get SIGTERM and save. The same launch goes on from there."""
    from podway.launch.targets.kubernetes import follow, training

    cluster = _cluster(options)
    follow.look(cluster, options.launch)
    job_set = {
        "apiVersion": training.API,
        "kind": "JobSet",
        "metadata": {"name": options.launch},
    }
    cluster.delete(job_set)
    print(f"{options.launch}: its processes save, and end", flush=True)
    while options.wait and cluster.find(job_set) is not None:
        time.sleep(1)
    if options.wait:
        print(f"{options.launch}: stopped; the same `podway launch` goes on from its last save")


def _cluster(options: Place) -> Any:
    from podway.launch.targets.kubernetes.cluster import Cluster

    return Cluster(options.namespace, options.context)


def _table(rows: list[dict[str, Any]]) -> str:
    names = [name for name in rows[0] if name not in ("says", "workdir")]
    cells = [names, *([str(row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


JOBS = Verb("what was launched on a cluster", Jobs, jobs, of="", example="podway jobs --json")
LOGS = Verb(
    "follow a launch", Logs, logs, of="LAUNCH", example="podway logs movielens-sasrec-1a2b3c"
)
STOP = Verb(
    "end a launch; it saves first",
    Stop,
    stop,
    of="LAUNCH",
    example="podway stop movielens-sasrec-1a2b3c",
)
