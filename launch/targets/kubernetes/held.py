"""Machines that are held until a launch takes them: a JobSet of pods that only wait.

The scheduler alone knows whether a slice can be had, and an autoscaler makes machines only for pods
that wait for them. So pods as those of the launch wait for its missing slices, and end at once.
"""

from typing import Any

from podway.launch.targets.kubernetes import pods, pools, training
from podway.launch.targets.kubernetes.launch import OWN, Launch

HOLDS = f"{OWN}/holds-for"
_NAME = 40


def name(launch: Launch) -> str:
    """Of the JobSet; no launch has it, as theirs end with a hash or are given."""
    return f"{launch.name[: _NAME - 5]}-held"


def label(launch: Launch) -> str:
    """By which its pods are found."""
    return f"{HOLDS}={launch.name}"


def job_set(launch: Launch, slices: int, owner: str) -> dict[str, Any]:
    """Pods that hold the machines of slices.

    Args:
      launch: for which.
      slices: how many.
      owner: uid of the launch's JobSet, with which it goes; "": it stays.
    """
    pool, target = launch.pool, launch.target
    # Not "podway": it is no launch that is listed, followed or stopped.
    labels = {HOLDS: launch.name}
    metadata: dict[str, Any] = {
        "name": name(launch),
        "namespace": target.namespace,
        "labels": labels | ({training.QUEUE: target.queue} if target.queue else {}),
    }
    if owner:
        reference = {"apiVersion": training.API, "kind": "JobSet", "name": launch.name}
        metadata["ownerReferences"] = [reference | {"uid": owner}]
    train: dict[str, Any] = {
        "name": "train",
        "replicas": slices,
        "template": {"spec": _job(launch, labels)},
    }
    if pool.is_tpu and target.provider == "gke":
        train["template"]["metadata"] = {"annotations": {training.EXCLUSIVE: pools.POOL}}
    return {
        "apiVersion": training.API,
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            # Machines that are taken away are asked for again.
            "failurePolicy": {"maxRestarts": 1_000_000},
            "replicatedJobs": [train],
        },
    }


def _job(launch: Launch, labels: dict[str, str]) -> dict[str, Any]:
    pool = launch.pool
    container = {
        "name": "train",
        "image": pods.image(launch, "train"),  # which is on the machine then
        "command": ["sleep", "infinity"],
        "resources": training.resources(launch, pool.resource, pool.count),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "serviceAccountName": launch.target.service_account,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001},
        "containers": [container],
    }
    if pool.selector:
        spec["nodeSelector"] = dict(pool.selector)
    if pool.tolerations:
        spec["tolerations"] = [{"key": each, "operator": "Exists"} for each in pool.tolerations]
    if launch.target.priority:
        spec["priorityClassName"] = launch.target.priority
    return {
        "parallelism": pool.hosts,
        "completions": pool.hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "template": {"metadata": {"labels": labels}, "spec": spec},
    }
