"""Following a deployment until its pods serve, in plain words; and what is left of earlier ones."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from podway.launch.targets.error import LaunchError
from podway.launch.targets.kubernetes import status
from podway.launch.targets.kubernetes.cluster import Cluster
from podway.launch.targets.kubernetes.launch import OWN
from podway.launch.targets.kubernetes.serving.deployed import TRACK, Deployed

INTERVAL = 3.0
"""Seconds between looks."""
_KINDS = (
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
)
"""What a track has in every cluster, in the order in which it is taken away."""
_GKE_KINDS = (
    ("networking.gke.io/v1", "HealthCheckPolicy"),
    ("networking.gke.io/v1", "GCPBackendPolicy"),
)


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Of a track, at one moment.

    Attributes:
      ready: whether all its pods are of the wanted version, and serve.
      failed: whether the cluster has given up on it.
      serving: pods of the wanted version that serve.
      wanted: pods.
      lines: what is in the way.
    """

    ready: bool
    failed: bool
    serving: int
    wanted: int
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.serving} of {self.wanted} pods serve"


def of(deployment: dict[str, Any], pods: Sequence[dict[str, Any]]) -> Rollout:
    """A track's rollout, from what the cluster says of its Deployment and its pods."""
    found = deployment.get("status") or {}
    wanted = int((deployment.get("spec") or {}).get("replicas") or 0)
    current = int(found.get("observedGeneration") or 0) >= int(deployment["metadata"]["generation"])
    updated = int(found.get("updatedReplicas") or 0)
    available = int(found.get("availableReplicas") or 0)
    everywhere = int(found.get("replicas") or 0)
    ready = current and updated == wanted == everywhere == available and wanted > 0
    conditions = {each["type"]: each for each in found.get("conditions") or []}
    late = conditions.get("Progressing", {}).get("reason") == "ProgressDeadlineExceeded"
    refused = conditions.get("ReplicaFailure", {})
    lines = [refused["message"]] if current and refused.get("status") == "True" else []
    version = (deployment["metadata"].get("labels") or {}).get(f"{OWN}/version")
    mine = [each for each in pods if each["metadata"]["labels"].get(f"{OWN}/version") == version]
    lines += [*status.pending(mine), *_ends(mine), *_starts(mine)]
    serving = sum(_is_ready(each) for each in mine) if current else 0
    return Rollout(ready, current and late, min(serving, wanted), wanted, tuple(lines))


def until_ready(
    cluster: Cluster,
    deployed: Deployed,
    *,
    say: Callable[[str], None] = lambda text: print(text, flush=True),
    interval: float = INTERVAL,
) -> None:
    """Returns when all tracks serve. Raises LaunchError: one never will; it says why."""
    last: dict[str, Rollout] = {}
    while True:
        now = {track: look(cluster, deployed, track) for track in deployed.tracks}
        for track, rollout in now.items():
            before = last.get(track)
            if before is None or str(before) != str(rollout):
                version = deployed.tracks[track].version
                say(f"{deployed.of_track(track)}, version {version}: {rollout}")
            for line in rollout.lines:
                if before is None or line not in before.lines:
                    say(f"  {line}")
            if rollout.failed:
                raise LaunchError(
                    f"{deployed.of_track(track)} does not serve version"
                    f" {deployed.tracks[track].version}:"
                    f" {'; '.join(rollout.lines) or 'the cluster says no more'}. Requests go where"
                    " they went before"
                )
        if all(rollout.ready for rollout in now.values()):
            return
        last = now
        time.sleep(interval)


def look(cluster: Cluster, deployed: Deployed, track: str) -> Rollout:
    """A track's rollout now. Raises LaunchError: there is no such Deployment."""
    name = deployed.of_track(track)
    deployment = cluster.get("apps/v1", "Deployment", name)
    if deployment is None:
        raise LaunchError(
            f"there is no Deployment {name} in the namespace {cluster.namespace!r} any more;"
            " somebody deleted it"
        )
    pods = cluster.list("v1", "Pod", labels=_text(deployed.track_selector(track)))
    return of(deployment, pods)


def left(cluster: Cluster, deployed: Deployed, objects: Sequence[dict[str, Any]]) -> list[Any]:
    """What earlier deployments of the model made, and this one has not: a canary that is none now.

    A ConfigMap that some ReplicaSet still names stays: `kubectl rollout undo` would need it.
    """
    kinds = list(_KINDS)
    if deployed.target.gateway.name and deployed.target.provider == "gke":
        kinds = [*_GKE_KINDS, *kinds]
    wanted = {(each["kind"], each["metadata"]["name"]) for each in objects}
    labels = _text(deployed.labels())
    used = {
        volume["configMap"]["name"]
        for each in cluster.list("apps/v1", "ReplicaSet", labels=_text(deployed.selector))
        if each["metadata"]["labels"].get(f"{OWN}/{TRACK}") in deployed.tracks
        for volume in each["spec"]["template"]["spec"].get("volumes") or []
        if "configMap" in volume
    }
    return [
        {"apiVersion": version, "kind": kind, "metadata": {"name": each["metadata"]["name"]}}
        for version, kind in kinds
        for each in cluster.list(version, kind, labels=labels)
        if (kind, each["metadata"]["name"]) not in wanted
        and not (kind == "ConfigMap" and each["metadata"]["name"] in used)
    ]


def _text(labels: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _ends(pods: Sequence[dict[str, Any]]) -> list[str]:
    """How containers ended that are started again and again."""
    found = []
    for pod in pods:
        for each in (pod.get("status") or {}).get("containerStatuses") or []:
            ends = [(each.get(key) or {}).get("terminated") for key in ("state", "lastState")]
            end = next((one for one in ends if one), None)
            if end is None or not each.get("restartCount"):
                continue
            if end.get("reason") == "OOMKilled":
                said = "it needs more memory than its limit; give target.memory"
            else:
                said = status.error(end.get("message", "")) or end.get("reason", "")
            found.append(
                f"{pod['metadata']['name']} ended with {end.get('exitCode')}, and is started again:"
                f" {said}"
            )
    return found


def _starts(pods: Sequence[dict[str, Any]]) -> list[str]:
    """Pods that run and are not asked yet."""
    running = [
        each
        for each in pods
        if (each.get("status") or {}).get("phase") == "Running" and not _is_ready(each)
    ]
    new = [
        each
        for each in running
        if not any(one.get("restartCount") for one in each["status"].get("containerStatuses") or [])
    ]
    return [f"{len(new)} pods read and warm up the model"] if new else []
