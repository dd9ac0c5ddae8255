"""A service as `gcloud run services replace` takes it, in Knative's form (run.v1)."""

from typing import Any

from podway.launch.targets import names, server
from podway.launch.targets.cloud_run.deployed import BUCKET_PATH, NO_IMAGE, Deployed

PERIOD = 10
"""Seconds between two probes of an instance that starts."""


def services(deployed: Deployed) -> list[dict[str, Any]]:
    """The service, once for each revision, in the order in which they are made.

    The last one has all of the traffic's shares; until a revision is there none can be its.
    """
    found = []
    for at, track in enumerate(deployed.tracks):
        last = at == len(deployed.tracks) - 1
        shares = deployed.traffic if last else {"stable": 100}
        found.append(service(deployed, track, shares))
    return found


def service(deployed: Deployed, track: str, shares: Any) -> dict[str, Any]:
    """The service with the revision of a track as its newest."""
    target = deployed.target
    account = {"serviceAccountName": target.service_account} if target.service_account else {}
    spec: dict[str, Any] = {
        "containerConcurrency": deployed.concurrency(track),
        "timeoutSeconds": target.timeout_seconds,
        **account,
        "containers": [_container(deployed, track)],
        "volumes": [
            {
                "name": "models",
                "csi": {
                    "driver": "gcsfuse.run.googleapis.com",
                    "readOnly": True,
                    "volumeAttributes": {"bucketName": deployed.bucket},
                },
            }
        ],
    }
    if target.gpu:
        spec["nodeSelector"] = {"run.googleapis.com/accelerator": target.gpu}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": deployed.name,
            "labels": {"cloud.googleapis.com/location": target.region, **labels(deployed)},
            "annotations": {"run.googleapis.com/ingress": target.ingress},
        },
        "spec": {
            "template": {
                "metadata": {
                    "name": deployed.revision(track),
                    "labels": {
                        **labels(deployed),
                        "podway-version": str(deployed.tracks[track].version),
                    },
                    "annotations": _annotations(deployed),
                },
                "spec": spec,
            },
            "traffic": [
                {"revisionName": deployed.revision(each), "percent": share, "tag": each}
                for each, share in shares.items()
            ],
        },
    }


def labels(deployed: Deployed) -> dict[str, str]:
    """Of the service and its revisions."""
    return {"podway-model": names.legal(deployed.model), "managed-by": "podway"}


def _annotations(deployed: Deployed) -> dict[str, str]:
    target = deployed.target
    found = {
        "autoscaling.knative.dev/minScale": str(target.least),
        "autoscaling.knative.dev/maxScale": str(target.most),
        # The first environment mounts no buckets.
        "run.googleapis.com/execution-environment": "gen2",
        "run.googleapis.com/startup-cpu-boost": "true",
    }
    if target.gpu:
        redundant = str(not target.zonal_redundancy).lower()
        found["run.googleapis.com/cpu-throttling"] = "false"
        found["run.googleapis.com/gpu-zonal-redundancy-disabled"] = redundant
    return found


def _container(deployed: Deployed, track: str) -> dict[str, Any]:
    target = deployed.target
    limits = {"cpu": str(target.cpu), "memory": deployed.memory(track)}
    if target.gpu:
        limits["nvidia.com/gpu"] = "1"
    return {
        "name": "server",
        "image": target.image or NO_IMAGE,
        "command": ["/bin/sh"],
        "args": ["-c", deployed.script(track)],
        "env": [
            {"name": name, "value": text} for name, text in deployed.environment(track).items()
        ],
        "ports": [port(deployed)],
        "resources": {"limits": limits},
        "startupProbe": {
            **_asked(deployed, track),
            "periodSeconds": PERIOD,
            "timeoutSeconds": PERIOD,
            "failureThreshold": target.startup_seconds // PERIOD,
        },
        "volumeMounts": [{"name": "models", "mountPath": BUCKET_PATH}],
    }


def port(deployed: Deployed) -> dict[str, Any]:
    """The one port of the service: gRPC needs its name to be h2c."""
    if deployed.target.protocol == "grpc":
        return {"name": "h2c", "containerPort": server.GRPC}
    return {"name": "http1", "containerPort": server.REST}


def _asked(deployed: Deployed, track: str) -> dict[str, Any]:
    """What shows that the model can be asked."""
    if deployed.target.protocol == "grpc":
        return {"grpc": {"port": server.GRPC}}
    return {"httpGet": {"path": deployed.run(track).ready, "port": server.REST}}
