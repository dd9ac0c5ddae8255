"""What launches and deployments have in common: namespace, account, files; volumes, environment."""

import base64
from collections.abc import Mapping
from typing import Any

from podway.launch.targets.frozen import FILE
from podway.launch.targets.kubernetes.launch import OWN, Launch

HOME = "/podway/experiment"
"""Where the frozen experiment lies in a container."""
NO_IMAGE = "image-missing.invalid/"
_PLACEHOLDER = NO_IMAGE + "podway-{}@sha256:" + 64 * "0"
"""Stands in a dry run for an image that was not given."""
SUBMITTED = f"{OWN}/submitted"
MANAGED = {"app.kubernetes.io/managed-by": "podway"}
"""Label of what several of ours share."""


def namespace(name: str) -> dict[str, Any]:
    """The namespace, which others share."""
    metadata = {"name": name, "labels": dict(MANAGED)}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def service_account(target: Any) -> dict[str, Any]:
    """Whom the pods of a target run as; on GKE it may stand for an account of Google's.

    Args:
      target: has namespace, service_account and google_service_account.
    """
    metadata: dict[str, Any] = {
        "name": target.service_account,
        "namespace": target.namespace,
        "labels": dict(MANAGED),
    }
    if account := target.google_service_account:
        metadata["annotations"] = {"iam.gke.io/gcp-service-account": account}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def config_map(metadata: dict[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
    """Files that never change: key → content, text where they are."""
    text, binary = {}, {}
    for key, content in files.items():
        try:
            text[key] = content.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(content).decode()
    found: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": text,
    }
    return found | ({"binaryData": binary} if binary else {})


def image(launch: Launch, kind: str) -> str:
    """The image of a kind of container."""
    return getattr(launch.target.images, kind) or _PLACEHOLDER.format(kind)


def command(launch: Launch, verb: str, *options: str) -> dict[str, Any]:
    """A container's command: the verb on the frozen experiment."""
    return {
        "command": ["podway"],
        "args": [verb, f"{HOME}/{FILE}", "--workdir", launch.workdir, *options],
    }


def environment(launch: Launch, submitted: int | None) -> list[dict[str, Any]]:
    """Environment variables of all containers.

    `submitted`, seconds since 1970, lets the run account for the time before its first process.
    """
    pairs = [pair.split("=", 1) for pair in launch.target.environment]
    if submitted is not None:
        pairs.append(["PODWAY_SUBMITTED", str(submitted)])
    return [{"name": name, "value": value} for name, value in pairs]


def volumes(launch: Launch) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, str]]:
    """Volumes of a pod, their mounts in a container, and annotations that they need."""
    frozen = {"name": config_map_name(launch), "items": items(launch)}
    found = [{"name": "experiment", "configMap": frozen}]
    mounts: list[dict[str, Any]] = [{"name": "experiment", "mountPath": HOME, "readOnly": True}]
    for at, bucket in enumerate(launch.target.buckets):
        name = f"bucket-{at}"
        csi = {
            "driver": "gcsfuse.csi.storage.gke.io",
            "readOnly": bucket.read_only,
            "volumeAttributes": {"bucketName": bucket.bucket, "mountOptions": "implicit-dirs"},
        }
        found.append({"name": name, "csi": csi})
        mounts.append({"name": name, "mountPath": bucket.path, "readOnly": bucket.read_only})
    for at, claim in enumerate(launch.target.claims):
        name = f"claim-{at}"
        found.append({"name": name, "persistentVolumeClaim": {"claimName": claim.claim}})
        mounts.append({"name": name, "mountPath": claim.path})
    annotations = {}
    if launch.target.buckets:
        annotations = {
            "gke-gcsfuse/volumes": "true",
            "gke-gcsfuse/cpu-limit": "0",
            "gke-gcsfuse/memory-limit": "0",
            "gke-gcsfuse/ephemeral-storage-limit": "0",
        }
    return found, mounts, annotations


def config_map_name(launch: Launch) -> str:
    """Of the frozen experiment: its hash is in the name, as nothing in it may change."""
    return f"{launch.name}-{launch.frozen.hash[:8]}"


def key(path: str) -> str:
    """A ConfigMap's key for the path of a file; a key has no "/"."""
    return path.replace("/", "__")


def items(launch: Launch) -> list[dict[str, str]]:
    """Which key becomes which file."""
    return [{"key": key(path), "path": path} for path in launch.frozen.files]


def pod(
    launch: Launch,
    container: dict[str, Any],
    *,
    selector: dict[str, str],
    tolerations: tuple[str, ...],
    submitted: int | None,
) -> dict[str, Any]:
    """A pod's template around one container.

    It runs as nobody in particular, writes nothing into its image, and says in its status what it
    printed last where it failed.
    """
    found, mounts, annotations = volumes(launch)
    found = [*found, {"name": "tmp", "emptyDir": {}}]
    container = {
        **container,
        "env": [*environment(launch, submitted), *container.get("env", [])],
        "volumeMounts": [*mounts, {"name": "tmp", "mountPath": "/tmp"}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "serviceAccountName": launch.target.service_account,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": launch.target.grace_seconds,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001},
        "containers": [container],
        "volumes": found,
    }
    if selector:
        spec["nodeSelector"] = selector
    if tolerations:
        spec["tolerations"] = [{"key": each, "operator": "Exists"} for each in tolerations]
    if launch.target.priority:
        spec["priorityClassName"] = launch.target.priority
    metadata: dict[str, Any] = {"labels": launch.labels}
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": spec}
