"""`podway jobs`, `podway logs` and `podway stop`, for launches on a cluster."""

import sys
from typing import Any

from podway.launch.jobs import account
from podway.launch.jobs.goodput import Goodput
from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes import follow, pods, training
from podway.launch.targets.kubernetes.cluster import Cluster
from podway.launch.targets.kubernetes.elastic import Elastic
from podway.launch.targets.kubernetes.launch import OWN
from podway.launch.targets.kubernetes.status import STAGES, Status


def rows(cluster: Cluster) -> list[dict[str, Any]]:
    """What is listed of the launches of a namespace."""
    found = []
    sets = cluster.list(training.API, "JobSet", labels="app.kubernetes.io/managed-by=podway")
    accounts = account.of_all([_launch(each) for each in sets])
    for each, spent in zip(sets, accounts, strict=True):
        metadata = each["metadata"]
        now, _ = follow.look(cluster, metadata["name"])
        notes = metadata.get("annotations") or {}
        found.append(
            {
                "launch": metadata["name"],
                "experiment": notes.get(f"{OWN}/experiment", ""),
                "where": f"namespace {cluster.namespace}",
                "phase": now.phase,
                "stage": now.stage,
                "processes": f"{now.running}/{now.wanted}" if now.wanted else "",
                "restarts": now.restarts,
                "goodput": f"{spent.percent:.1f} %" if spent else "",
                "since": metadata.get("creationTimestamp", ""),
                "workdir": notes.get(f"{OWN}/workdir", ""),
                "says": now.lines[0] if now.lines else "",
            }
        )
    return found


def _launch(job_set: dict[str, Any] | None) -> account.Launch | None:
    notes = (job_set or {"metadata": {}})["metadata"].get("annotations") or {}
    try:
        submitted = float(notes[pods.SUBMITTED])
        return account.Launch(notes[f"{OWN}/workdir"], notes[f"{OWN}/experiment"], submitted)
    except (KeyError, ValueError):
        return None


def follow_to_end(cluster: Cluster, name: str, elastic: Elastic | None = None) -> Status | None:
    """Follows a launch, and says now and then, and at its end, where its time went.

    `elastic` changes its number of slices. Returns None: a person has enough.
    """
    launch = _launch(cluster.get(training.API, "JobSet", name))
    spent = Goodput()

    def besides(now: Status, pods: list[dict[str, Any]]) -> None:
        spent.look(launch)
        if elastic is not None:
            elastic.look(now, pods)

    try:
        end = follow.until_over(cluster, name, besides=besides)
    except KeyboardInterrupt:
        follow.say_detached(name)
        return None
    if (whole := account.of(launch)) is not None:
        print(f"  {whole}", flush=True)
    return end


def logs(cluster: Cluster, name: str, pod: str, tail: int) -> None:
    """Prints what a launch's first process writes until the launch is over, or a pod's lines."""
    if not (pod or tail):
        end = follow_to_end(cluster, name)
        if end is not None and end.phase == "failed":
            sys.exit(1)
        return
    now, found = follow.look(cluster, name)
    stage = now.stage or STAGES[-1]
    wanted = [
        each
        for each in found
        if each["metadata"]["name"] == pod or (not pod and follow.is_first(each, stage))
    ]
    if not wanted:
        names = ", ".join(sorted(each["metadata"]["name"] for each in found)) or "none"
        raise LaunchError(f"there is no such pod of {name}; there are: {names}")
    for each in wanted:
        container = each["spec"]["containers"][0]["name"]
        for line in cluster.logs(each["metadata"]["name"], container, tail=tail).splitlines():
            print(follow.divided(line)[1])


def stop(cluster: Cluster, name: str, *, wait: bool) -> None:
    """Ends a launch: its processes get SIGTERM and save. The same launch goes on from there."""
    now, _ = follow.look(cluster, name)
    job_set = {"apiVersion": training.API, "kind": "JobSet", "metadata": {"name": name}}
    launch = _launch(cluster.find(job_set))
    cluster.delete(job_set)
    if now.over:
        print(f"{name} does not run: {now.phase}; the cluster no longer lists it")
        return
    print(f"{name}: its processes save, and end", flush=True)
    if not wait:
        return
    follow.wait_until_gone(cluster, name)
    spent = account.of(launch)
    where = f"step {spent.step:,}, which is saved" if spent and spent.saved else "its last save"
    print(f"{name}: stopped; the same `podway launch` goes on from {where}")
