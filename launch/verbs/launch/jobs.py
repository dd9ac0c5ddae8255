"""`podway jobs`, `podway logs`, `podway stop`: what was launched, on clusters and on machines."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from podway.framework.error import check
from podway.launch.verbs.verb import Subject, Verb

if TYPE_CHECKING:
    from podway.launch.jobs.registry import Record
    from podway.launch.targets.kubernetes.cluster import Cluster

NAMESPACE = "podway"
"""Where launches on a cluster are unless something else is said."""
_EXPLAINED = ("queued", "waiting", "failed")
"""Phases of which the list says why."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Which cluster, of launches on one."""

    namespace: str = ""
    """Of the cluster; empty: those that were launched into from this machine, and "podway"."""
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
    """On a cluster: name of a pod; without one the first process of the stage that goes on."""
    process: int = 0
    """On machines: number of the process."""
    tail: int = 0
    """Print the last lines of what is there, and end; 0: follow to the launch's end."""


@dataclasses.dataclass(frozen=True)
class Stop(Place):
    """Which launch."""

    launch: Subject = ""
    wait: bool = True
    """Wait until its processes have saved and ended."""


def jobs(options: Jobs) -> None:
    """Prints the launches of a cluster's namespaces, and those on machines."""
    import json

    from podway.launch.jobs import machines, registry

    records = registry.read()
    rows = []
    if not (options.namespace or options.context):
        rows += _each(machines.row, [record for record in records if record.kind == "machines"])
    rows += _on_clusters(options, records, required=not rows)
    if options.json:
        print(json.dumps(rows, indent=1))
    elif not rows:
        print(f"no launches in the namespace {options.namespace or NAMESPACE!r}, none on machines")
    else:
        print(_table(rows))
        for row in rows:
            if row["says"] and row["phase"] in _EXPLAINED:
                print(f"{row['launch']}: {row['says']}")


def _on_clusters(options: Jobs, records: list[Record], *, required: bool) -> list[dict[str, Any]]:
    """Of all namespaces that are known; `required`: it is an error if there is no cluster."""
    from podway.framework.error import PodwayError

    places = {(options.namespace or NAMESPACE, options.context): required}
    if not (options.namespace or options.context):
        places |= {place: True for record in records if (place := _place_of(record))}
    rows = []
    for (namespace, context), wanted in places.items():
        try:
            from podway.launch.jobs import kubernetes

            rows += kubernetes.rows(_cluster(namespace, context))
        except (PodwayError, ImportError) as error:
            if required:
                raise
            if wanted:
                print(f"podway: namespace {namespace}: {error}", file=sys.stderr)
    return rows


def _each(act: Callable[[Record], dict[str, Any]], records: list[Record]) -> list[dict[str, Any]]:
    from podway.launch.targets.machines import remote

    return remote.each(act, records)


def logs(options: Logs) -> None:
    """Prints what a launch's first process writes, until the launch is over."""
    check(options.tail >= 0, f"--tail is {options.tail}; give 0 or more")
    record = _record(options, options.launch)
    if record is not None and record.kind == "machines":
        from podway.launch.jobs import machines

        check(not options.pod, "--pod is of launches on a cluster; give --process NUMBER")
        machines.logs(record, options.process, options.tail)
        return
    from podway.launch.jobs import kubernetes

    kubernetes.logs(_of(options, record), options.launch, options.pod, options.tail)


def stop(options: Stop) -> None:
    """Ends a launch: its processes get SIGTERM and save. The same launch goes on from there."""
    record = _record(options, options.launch)
    if record is not None and record.kind == "machines":
        from podway.launch.jobs import machines

        machines.stop(record, wait=options.wait)
        return
    from podway.launch.jobs import kubernetes

    kubernetes.stop(_of(options, record), options.launch, wait=options.wait)


def _record(options: Place, name: str) -> Record | None:
    """What this machine knows of a launch, unless a cluster is named."""
    from podway.launch.jobs import registry

    return None if options.namespace or options.context else registry.find(name)


def _of(options: Place, record: Record | None) -> Cluster:
    """The cluster that is named, or that the launch was put on."""
    namespace, context = (record and _place_of(record)) or (NAMESPACE, "")
    return _cluster(options.namespace or namespace, options.context or context)


def _place_of(record: Record) -> tuple[str, str] | None:
    from podway.launch.targets.kubernetes.target import Kubernetes

    target = record.target
    return (target.namespace, target.context) if isinstance(target, Kubernetes) else None


def _cluster(namespace: str, context: str) -> Cluster:
    from podway.launch.targets.kubernetes.cluster import Cluster

    return Cluster(namespace, context)


def _table(rows: list[dict[str, Any]]) -> str:
    names = [name for name in rows[0] if name not in ("says", "workdir")]
    cells = [names, *([str(row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


JOBS = Verb("what was launched", Jobs, jobs, of="", example="podway jobs --json")
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
