"""`podway jobs`, `podway logs` and `podway stop`, for launches on a cluster."""

import sys
import time
from typing import Any

from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes import follow, training
from podway.launch.targets.kubernetes.cluster import Cluster
from podway.launch.targets.kubernetes.launch import OWN


def rows(cluster: Cluster) -> list[dict[str, Any]]:
    """What is listed of the launches of a namespace."""
    found = []
    for each in cluster.list(training.API, "JobSet", labels="app.kubernetes.io/managed-by=podway"):
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
                "since": metadata.get("creationTimestamp", ""),
                "workdir": notes.get(f"{OWN}/workdir", ""),
                "says": now.lines[0] if now.lines else "",
            }
        )
    return found


def logs(cluster: Cluster, name: str, pod: str, tail: int) -> None:
    """Prints what a launch's first process writes until the launch is over, or a pod's lines."""
    if not (pod or tail):
        try:
            end = follow.until_over(cluster, name)
        except KeyboardInterrupt:
            follow.say_detached(name)
            return
        if end.phase == "failed":
            sys.exit(1)
        return
    now, pods = follow.look(cluster, name)
    wanted = [
        each
        for each in pods
        if each["metadata"]["name"] == pod or (not pod and follow.is_first(each, now.stage))
    ]
    if not wanted:
        names = ", ".join(sorted(each["metadata"]["name"] for each in pods)) or "none"
        raise LaunchError(f"there is no such pod of {name}; there are: {names}")
    for each in wanted:
        container = each["spec"]["containers"][0]["name"]
        for line in cluster.logs(each["metadata"]["name"], container, tail=tail).splitlines():
            print(follow.divided(line)[1])


def stop(cluster: Cluster, name: str, *, wait: bool) -> None:
    """Ends a launch: its processes get SIGTERM and save. The same launch goes on from there."""
    follow.look(cluster, name)
    job_set = {"apiVersion": training.API, "kind": "JobSet", "metadata": {"name": name}}
    cluster.delete(job_set)
    print(f"{name}: its processes save, and end", flush=True)
    while wait and cluster.find(job_set) is not None:
        time.sleep(1)
    if wait:
        print(f"{name}: stopped; the same `podway launch` goes on from its last save")
