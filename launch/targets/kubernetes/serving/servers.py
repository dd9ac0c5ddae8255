"""The servers of a track: files, Deployment, how many pods, and how many may be missing."""

from typing import Any

from podway.launch.targets import server
from podway.launch.targets.kubernetes import pods, pools
from podway.launch.targets.kubernetes.launch import OWN
from podway.launch.targets.kubernetes.serving import watch
from podway.launch.targets.kubernetes.serving.deployed import Deployed

_NO_IMAGE = f"{pods.NO_IMAGE}server@sha256:{64 * '0'}"
"""Stands in a dry run for an image that was not given."""
PORTS = {"grpc": server.GRPC, "rest": server.REST}
_PERIOD = 10
"""Seconds between two probes."""
_STOP_SECONDS = 35
"""After SIGTERM: longer than our server waits for what it is still answering."""


def metadata(deployed: Deployed, name: str, track: str = "") -> dict[str, Any]:
    """Name, namespace and labels of an object."""
    labels = deployed.labels(track)
    return {"name": name, "namespace": deployed.target.namespace, "labels": labels}


def files(deployed: Deployed, track: str) -> dict[str, Any]:
    """The files that the server reads."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(deployed, deployed.files_name(track), track),
        "immutable": True,
        "data": dict(deployed.run(track).files()),
    }


def deployment(deployed: Deployed, track: str) -> dict[str, Any]:
    """Pods of one version. A new version takes over pod by pod, none ends before another serves.

    How many there are is left to the autoscaler, or each deployment would set it back.
    """
    own = metadata(deployed, deployed.of_track(track), track)
    own["labels"] = deployed.version_labels(track)
    own["annotations"] = {
        f"{OWN}/model": deployed.model,
        f"{OWN}/version": str(deployed.tracks[track].version),
        f"{OWN}/artefact": deployed.tracks[track].hash,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": own,
        "spec": {
            "selector": {"matchLabels": deployed.track_selector(track)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            },
            "minReadySeconds": 5,
            "progressDeadlineSeconds": deployed.target.startup_seconds + 300,
            "revisionHistoryLimit": 3,
            "template": _pod(deployed, track),
        },
    }


def autoscaler(deployed: Deployed, track: str) -> dict[str, Any]:
    """More pods under load; fewer only after five quiet minutes."""
    scaling = deployed.target.scaling
    metrics: list[dict[str, Any]] = [
        {
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": scaling.cpu_percent},
            },
        }
    ]
    if scaling.requests_per_second:
        millis = f"{round(1000 * scaling.requests_per_second)}m"
        metrics.append(
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": watch.scaling_metric(deployed)},
                    "target": {"type": "AverageValue", "averageValue": millis},
                },
            }
        )
    goal = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployed.of_track(track)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(deployed, deployed.of_track(track), track),
        "spec": {
            "scaleTargetRef": goal,
            "minReplicas": scaling.canary_least if track == "canary" else scaling.least,
            "maxReplicas": scaling.most,
            "metrics": metrics,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }


def budget(deployed: Deployed, track: str) -> dict[str, Any]:
    """One pod at a time may be evicted, when a machine is drained."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(deployed, deployed.of_track(track), track),
        "spec": {
            "maxUnavailable": 1,
            # A pod that does not serve anyway must not keep a machine from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": deployed.track_selector(track)},
        },
    }


def _pod(deployed: Deployed, track: str) -> dict[str, Any]:
    target = deployed.target
    volumes, mounts = _volumes(deployed, track)
    spec: dict[str, Any] = {
        "serviceAccountName": target.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": target.drain_seconds + _STOP_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            _spread(deployed, track, "topology.kubernetes.io/zone"),
            _spread(deployed, track, "kubernetes.io/hostname"),
        ],
        "containers": [_container(deployed, track, mounts)],
        "volumes": volumes,
    }
    if target.gpu:
        spec["nodeSelector"] = {"cloud.google.com/gke-accelerator": target.gpu}
        spec["tolerations"] = [{"key": pools.GPU, "operator": "Exists"}]
    if target.priority:
        spec["priorityClassName"] = target.priority
    own: dict[str, Any] = {"labels": deployed.version_labels(track)}
    if deployed.buckets:
        own["annotations"] = {"gke-gcsfuse/volumes": "true"}
    return {"metadata": own, "spec": spec}


def _container(deployed: Deployed, track: str, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    target, run = deployed.target, deployed.run(track)
    command, *flags = run.command()
    memory = deployed.memory(track)
    resources: dict[str, Any] = {
        "requests": {"cpu": target.cpu, "memory": memory},
        "limits": {"memory": memory},
    }
    if target.gpu:
        for part in resources.values():
            part[pools.GPU] = "1"
    return {
        "name": "server",
        "image": target.image or _NO_IMAGE,
        "command": [command],
        "args": flags,
        "ports": [{"name": name, "containerPort": port} for name, port in PORTS.items()],
        "resources": resources,
        "startupProbe": _probe(run.ready, failures=-(-target.startup_seconds // _PERIOD)),
        "readinessProbe": _probe(run.ready, failures=3),
        # That the server answers at all, whatever becomes of its model.
        "livenessProbe": _probe(server.METRICS, failures=6),
        # Load balancers take a while to learn that a pod ends; TensorFlow Serving stops at once.
        "lifecycle": {"preStop": {"sleep": {"seconds": target.drain_seconds}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _probe(path: str, *, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "rest"},
        "periodSeconds": _PERIOD,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _spread(deployed: Deployed, track: str, key: str) -> dict[str, Any]:
    """Over zones and machines, as far as there are any."""
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": deployed.track_selector(track)},
    }


def _volumes(deployed: Deployed, track: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes of a pod and their mounts. Nothing but /tmp can be written."""
    found: list[dict[str, Any]] = [
        {"name": "files", "configMap": {"name": deployed.files_name(track)}},
        {"name": "tmp", "emptyDir": {}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "files", "mountPath": server.FILES, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    for at, bucket in enumerate(deployed.buckets):
        csi = {
            "driver": "gcsfuse.csi.storage.gke.io",
            "readOnly": True,
            "volumeAttributes": {"bucketName": bucket.bucket, "mountOptions": "implicit-dirs"},
        }
        found.append({"name": f"bucket-{at}", "csi": csi})
        mounts.append({"name": f"bucket-{at}", "mountPath": bucket.path, "readOnly": True})
    for at, claim in enumerate(deployed.target.claims):
        source = {"claimName": claim.claim, "readOnly": True}
        found.append({"name": f"claim-{at}", "persistentVolumeClaim": source})
        mounts.append({"name": f"claim-{at}", "mountPath": claim.path, "readOnly": True})
    return found, mounts
