"""All objects of the services, in the order in which they are applied."""

from typing import Any

from podway.launch.targets.kubernetes import pods
from podway.launch.targets.kubernetes.services.stack import PAGE, PORTS, SERVICES, Service, Stack

_PLACEHOLDER = f"{pods.NO_IMAGE}podway-online@sha256:{64 * '0'}"
"""Stands in a dry run for an image that was not given."""
_STOP_SECONDS = 35
"""After SIGTERM: a lander writes what it holds, a gateway answers what it was asked."""
_HEALTH_CHECKS = ("35.191.0.0/16", "130.211.0.0/22")
"""Where Google's load balancers ask from (cloud.google.com/load-balancing/docs/firewall-rules)."""


def objects(stack: Stack) -> list[dict[str, Any]]:
    """Namespace, account, the frozen experiment, each service's own, and the route last."""
    files = {pods.key(path): content for path, content in stack.frozen.files.items()}
    found = [
        pods.namespace(stack.target.namespace),
        pods.service_account(stack.target),
        pods.config_map(_metadata(stack, stack.config_map), files),
    ]
    for service in SERVICES:
        found += [_deployment(stack, service), _autoscaler(stack, service), _budget(stack, service)]
        found += _monitor(stack, service)
    found += [_service(stack), *(_policy(stack, service) for service in SERVICES)]
    if stack.target.entrance.name:
        found.append(_route(stack))
    return found


def _metadata(stack: Stack, name: str, service: Service | None = None) -> dict[str, Any]:
    labels = stack.labels(service)
    return {"name": name, "namespace": stack.target.namespace, "labels": labels}


def _deployment(stack: Stack, service: Service) -> dict[str, Any]:
    """Pods of a service. How many there are is left to the autoscaler.

    A consumer that ends hands its partitions over, so that one may go before another comes; the
    gateway always answers.
    """
    surge = {"maxUnavailable": 0, "maxSurge": 1} if service == "gateway" else {"maxUnavailable": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(stack, stack.of(service), service),
        "spec": {
            "selector": {"matchLabels": stack.selector(service)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": surge},
            "minReadySeconds": 5,
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 3,
            "template": {
                "metadata": {"labels": stack.labels(service)},
                "spec": _pod(stack, service),
            },
        },
    }


def _pod(stack: Stack, service: Service) -> dict[str, Any]:
    frozen = [{"key": pods.key(path), "path": path} for path in stack.frozen.files]
    volumes: list[dict[str, Any]] = [
        {"name": "experiment", "configMap": {"name": stack.config_map, "items": frozen}},
        {"name": "tmp", "emptyDir": {}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "experiment", "mountPath": pods.HOME, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    for at, claim in enumerate(stack.target.claims):
        volumes.append({"name": f"claim-{at}", "persistentVolumeClaim": {"claimName": claim.claim}})
        mounts.append({"name": f"claim-{at}", "mountPath": claim.path})
    drain = stack.target.drain_seconds if service == "gateway" else 0
    spec: dict[str, Any] = {
        "serviceAccountName": stack.target.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": drain + _STOP_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": stack.selector(service)},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        "containers": [_container(stack, service, mounts)],
        "volumes": volumes,
    }
    if stack.target.priority:
        spec["priorityClassName"] = stack.target.priority
    return spec


def _container(stack: Stack, service: Service, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    command, *arguments = stack.command(service)
    wanted = stack.pods(service)
    ports = {"page": PAGE, **(PORTS if service == "gateway" else {})}
    found: dict[str, Any] = {
        "name": service,
        "image": stack.target.image or _PLACEHOLDER,
        "command": [command],
        "args": arguments,
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "resources": {
            "requests": {"cpu": wanted.cpu, "memory": wanted.memory},
            "limits": {"memory": wanted.memory},
        },
        "startupProbe": _probe("/livez", failures=30),
        # Whether the queue or the store answers: what is not ready gets no requests.
        "readinessProbe": _probe("/readyz", failures=3),
        # That the process answers at all: a queue that is down must not restart all pods.
        "livenessProbe": _probe("/livez", failures=6),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }
    if stack.target.secret:
        found["envFrom"] = [{"secretRef": {"name": stack.target.secret}}]
    if service == "gateway":
        # Load balancers take a while to learn that a pod ends.
        found["lifecycle"] = {"preStop": {"sleep": {"seconds": stack.target.drain_seconds}}}
    return found


def _probe(path: str, *, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "page"},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _autoscaler(stack: Stack, service: Service) -> dict[str, Any]:
    """More pods under load; fewer only after five quiet minutes."""
    wanted = stack.pods(service)
    use = {"type": "Utilization", "averageUtilization": wanted.cpu_percent}
    goal = {"apiVersion": "apps/v1", "kind": "Deployment", "name": stack.of(service)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(stack, stack.of(service), service),
        "spec": {
            "scaleTargetRef": goal,
            "minReplicas": wanted.least,
            "maxReplicas": wanted.most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": use}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }


def _budget(stack: Stack, service: Service) -> dict[str, Any]:
    """One pod at a time may be evicted, when a machine is drained."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(stack, stack.of(service), service),
        "spec": {
            "maxUnavailable": 1,
            # A pod that does not serve anyway must not keep a machine from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": stack.selector(service)},
        },
    }


def _service(stack: Stack) -> dict[str, Any]:
    """The gateway's address."""
    protocols = {"rest": "http", "grpc": "kubernetes.io/h2c"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(stack, stack.of("gateway"), "gateway"),
        "spec": {
            "type": "ClusterIP",
            "selector": stack.selector("gateway"),
            "ports": [
                {
                    "name": name,
                    "port": port,
                    "targetPort": name,
                    "protocol": "TCP",
                    "appProtocol": protocols[name],
                }
                for name, port in PORTS.items()
            ],
        },
    }


def _policy(stack: Stack, service: Service) -> dict[str, Any]:
    """Who may ask: the gateway's clients its answers, and all of the cluster each page."""
    page: dict[str, Any] = {"ports": [{"protocol": "TCP", "port": PAGE}]}
    rules = [page]
    if service == "gateway":
        answers: dict[str, Any] = {
            "ports": [{"protocol": "TCP", "port": port} for port in PORTS.values()]
        }
        if stack.target.clients:
            spaces = sorted({stack.target.namespace, *stack.target.clients})
            key = "kubernetes.io/metadata.name"
            chosen = {"matchExpressions": [{"key": key, "operator": "In", "values": spaces}]}
            answers["from"] = [{"namespaceSelector": chosen}]
            if stack.target.entrance.name:
                answers["from"] += [{"ipBlock": {"cidr": block}} for block in _HEALTH_CHECKS]
        rules.append(answers)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(stack, stack.of(service), service),
        "spec": {
            "podSelector": {"matchLabels": stack.selector(service)},
            "policyTypes": ["Ingress"],
            "ingress": rules,
        },
    }


def _monitor(stack: Stack, service: Service) -> list[dict[str, Any]]:
    """Who collects the metrics of a service."""
    selector = {"matchLabels": stack.selector(service)}
    endpoint = {"port": "page", "path": "/metrics", "interval": "15s"}
    match stack.target.monitoring:
        case "prometheus-operator":
            version, kind, places = "monitoring.coreos.com/v1", "PodMonitor", "podMetricsEndpoints"
        case "gke":
            version, kind, places = "monitoring.googleapis.com/v1", "PodMonitoring", "endpoints"
        case _:
            return []
    return [
        {
            "apiVersion": version,
            "kind": kind,
            "metadata": _metadata(stack, stack.of(service), service),
            "spec": {"selector": selector, places: [endpoint]},
        }
    ]


def _route(stack: Stack) -> dict[str, Any]:
    """REST from outside to the gateway."""
    entrance = stack.target.entrance
    parent = {"name": entrance.name}
    if entrance.namespace:
        parent["namespace"] = entrance.namespace
    backend = {"name": stack.of("gateway"), "port": PORTS["rest"]}
    paths = [{"path": {"type": "PathPrefix", "value": "/v1"}}]
    spec: dict[str, Any] = {"parentRefs": [parent]}
    if entrance.host:
        spec["hostnames"] = [entrance.host]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": _metadata(stack, stack.of("gateway"), "gateway"),
        "spec": spec | {"rules": [{"matches": paths, "backendRefs": [backend]}]},
    }
