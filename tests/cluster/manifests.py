"""Manifests that a cluster takes: a launch's kinds, small, for tests to break or to run."""

from typing import Any

Manifest = dict[str, Any]

LABELS = {
    "app.kubernetes.io/name": "serving",
    "podway.dev/model": "sasrec",
    "podway.dev/version": "12",
}


def manifest(api: str, kind: str, name: str, spec: Manifest | None = None, **rest: Any) -> Manifest:
    """With `spec`, or with fields of another name."""
    made = {"apiVersion": api, "kind": kind, "metadata": {"name": name}}
    return made | ({"spec": spec} if spec is not None else {}) | rest


def training_pod(**changes: Any) -> Manifest:
    """The pod of a host of a TPU slice."""
    container = {
        "name": "train",
        "image": "europe-docker.pkg.dev/project/podway/train-tpu@sha256:" + "0" * 64,
        "args": ["train", "movielens_sasrec", "--distributed"],
        "ports": [{"name": "coordinator", "containerPort": 8482}],
        "env": [{"name": "JAX_PLATFORMS", "value": "tpu,cpu"}],
        "resources": {
            "limits": {"google.com/tpu": 4},
            "requests": {"google.com/tpu": 4, "cpu": "2", "memory": "4Gi"},
        },
    }
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 60,
        "nodeSelector": {
            "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
            "cloud.google.com/gke-tpu-topology": "4x4",
        },
        "containers": [container],
    } | changes


def job_set(name: str = "sasrec", slices: int = 2, hosts: int = 4, **changes: Any) -> Manifest:
    """A training on TPU slices, each on a node pool of its own.

    Preemptions don't use up its restarts, and the user's mistakes end it at once.
    """
    pods = {"metadata": {"labels": {"app.kubernetes.io/name": "training"}}, "spec": training_pod()}
    rules = [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": "train", "operator": "In", "values": [1, 2]},
        },
    ]
    job = {
        "parallelism": hosts,
        "completions": hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": rules},
        "template": pods,
    }
    preempted = {
        "name": "preempted",
        "action": "RestartJobSetAndIgnoreMaxRestarts",
        "onJobFailureReasons": ["PodFailurePolicy"],
        "onJobFailureMessagePatterns": ["DisruptionTarget"],
    }
    mistake = {
        "name": "mistake",
        "action": "FailJobSet",
        "onJobFailureReasons": ["PodFailurePolicy"],
        "targetReplicatedJobs": ["slice"],
    }
    spec = {
        "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
        "successPolicy": {"operator": "All", "targetReplicatedJobs": ["slice"]},
        "failurePolicy": {"maxRestarts": 3, "rules": [preempted, mistake]},
        "replicatedJobs": [{"name": "slice", "replicas": slices, "template": {"spec": job}}],
    }
    made = manifest("jobset.x-k8s.io/v1alpha2", "JobSet", name, spec | changes)
    made["metadata"]["annotations"] = {
        "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
    }
    return made


def pod() -> Manifest:
    return manifest("v1", "Pod", "train", training_pod())


def job() -> Manifest:
    container = {"name": "data", "image": "worker:1", "args": ["data", "movielens_sasrec"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return manifest("batch/v1", "Job", "data", {"backoffLimit": 1, "template": template})


def cron_job() -> Manifest:
    spec = {
        "schedule": "0 3 * * *",
        "timeZone": "Etc/UTC",
        "concurrencyPolicy": "Forbid",
        "jobTemplate": {"spec": job()["spec"]},
    }
    return manifest("batch/v1", "CronJob", "retrain", spec)


def deployment() -> Manifest:
    model = {"path": "/v1/models/sasrec", "port": "http"}
    container = {
        "name": "serving",
        "image": "tensorflow/serving:2.18.0",
        "ports": [{"name": "grpc", "containerPort": 8500}, {"name": "http", "containerPort": 8501}],
        "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
        "startupProbe": {"httpGet": model, "periodSeconds": 5, "failureThreshold": 60},
        "readinessProbe": {"httpGet": model, "periodSeconds": 5},
        "livenessProbe": {"tcpSocket": {"port": "grpc"}, "periodSeconds": 10},
        "resources": {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "4Gi"}},
    }
    pods = {
        "terminationGracePeriodSeconds": 60,
        "volumes": [{"name": "models", "emptyDir": {}}],
        "containers": [container],
    }
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": LABELS},
        "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": LABELS}, "spec": pods},
    }
    return manifest("apps/v1", "Deployment", "serving-sasrec-12", spec)


def service() -> Manifest:
    ports = [
        {"name": "grpc", "port": 8500, "targetPort": "grpc"},
        {"name": "http", "port": 8501, "targetPort": "http"},
    ]
    return manifest(
        "v1", "Service", "serving", {"selector": {"podway.dev/model": "sasrec"}, "ports": ports}
    )


def autoscaler() -> Manifest:
    usage = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    spec = {
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "serving-sasrec-12",
        },
        "minReplicas": 2,
        "maxReplicas": 8,
        "metrics": [{"type": "Resource", "resource": usage}],
    }
    return manifest("autoscaling/v2", "HorizontalPodAutoscaler", "serving", spec)


def budget() -> Manifest:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"podway.dev/model": "sasrec"}}}
    return manifest("policy/v1", "PodDisruptionBudget", "serving", spec)


def network_policy() -> Manifest:
    spec = {
        "podSelector": {"matchLabels": LABELS},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": 8500}]}],
    }
    return manifest("networking.k8s.io/v1", "NetworkPolicy", "serving", spec)


def claim() -> Manifest:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "100Gi"}}}
    return manifest("v1", "PersistentVolumeClaim", "workdir", spec)


def config_map() -> Manifest:
    data = {"experiment.json": "{}"}
    return manifest("v1", "ConfigMap", "experiment-0a1b2c", data=data, immutable=True)


def role() -> Manifest:
    rules = [{"apiGroups": ["jobset.x-k8s.io"], "resources": ["jobsets"], "verbs": ["create"]}]
    return manifest("rbac.authorization.k8s.io/v1", "Role", "retrain", rules=rules)


def role_binding() -> Manifest:
    group = "rbac.authorization.k8s.io"
    return manifest(
        f"{group}/v1",
        "RoleBinding",
        "retrain",
        subjects=[{"kind": "ServiceAccount", "name": "retrain", "namespace": "default"}],
        roleRef={"apiGroup": group, "kind": "Role", "name": "retrain"},
    )


def priority_class() -> Manifest:
    return manifest("scheduling.k8s.io/v1", "PriorityClass", "training-low", value=100)


def resource_flavor() -> Manifest:
    labels = {"cloud.google.com/gke-tpu-topology": "4x4"}
    return manifest("kueue.x-k8s.io/v1beta2", "ResourceFlavor", "v5e-4x4", {"nodeLabels": labels})


def cluster_queue() -> Manifest:
    quota = {"name": "google.com/tpu", "nominalQuota": 64}
    group = {
        "coveredResources": ["google.com/tpu"],
        "flavors": [{"name": "v5e-4x4", "resources": [quota]}],
    }
    spec = {"namespaceSelector": {}, "resourceGroups": [group]}
    return manifest("kueue.x-k8s.io/v1beta2", "ClusterQueue", "tpus", spec)


def local_queue() -> Manifest:
    return manifest("kueue.x-k8s.io/v1beta2", "LocalQueue", "training", {"clusterQueue": "tpus"})


def http_route() -> Manifest:
    backends = [
        {"name": "serving-stable", "port": 8501, "weight": 95},
        {"name": "serving-canary", "port": 8501, "weight": 5},
    ]
    spec = {"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": backends}]}
    return manifest("gateway.networking.k8s.io/v1", "HTTPRoute", "serving", spec)


def pod_monitor() -> Manifest:
    spec = {
        "selector": {"matchLabels": LABELS},
        "podMetricsEndpoints": [{"port": "http", "path": "/monitoring/prometheus/metrics"}],
    }
    return manifest("monitoring.coreos.com/v1", "PodMonitor", "serving", spec)


def prometheus_rule() -> Manifest:
    alert = {"alert": "TrainingStands", "expr": "vector(1)", "for": "10m"}
    spec = {"groups": [{"name": "training", "rules": [alert]}]}
    return manifest("monitoring.coreos.com/v1", "PrometheusRule", "training", spec)


GOOD = (
    job_set,
    pod,
    job,
    cron_job,
    deployment,
    service,
    autoscaler,
    budget,
    network_policy,
    claim,
    config_map,
    role,
    role_binding,
    priority_class,
    resource_flavor,
    cluster_queue,
    local_queue,
    http_route,
    pod_monitor,
    prometheus_rule,
)
"""Each makes a manifest that is right."""
