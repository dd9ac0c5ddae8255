"""How requests reach the servers: Services, routes with weights, and who may ask at all."""

from typing import Any

from podway.launch.targets import server
from podway.launch.targets.kubernetes.serving.deployed import Deployed
from podway.launch.targets.kubernetes.serving.servers import PORTS, metadata

ROUTES = "gateway.networking.k8s.io/v1"
GKE = "networking.gke.io/v1"
_GRPC_SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
_METHODS = ("predict", "classify", "regress")
_HEALTH_CHECKS = ("35.191.0.0/16", "130.211.0.0/22")
"""Where Google's load balancers ask from (cloud.google.com/load-balancing/docs/firewall-rules)."""


def service(deployed: Deployed, track: str = "") -> dict[str, Any]:
    """The address of a track; without one, of all pods of the model, each as likely as another."""
    name = deployed.of_track(track) if track else deployed.name
    protocols = {"grpc": "kubernetes.io/h2c", "rest": "http"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(deployed, name, track),
        "spec": {
            "type": "ClusterIP",
            "selector": deployed.track_selector(track) if track else deployed.selector,
            "ports": [
                {
                    "name": each,
                    "port": port,
                    "targetPort": each,
                    "protocol": "TCP",
                    "appProtocol": protocols[each],
                }
                for each, port in PORTS.items()
            ],
        },
    }


def health_check(deployed: Deployed, track: str) -> dict[str, Any]:
    """What GKE's load balancer asks to see whether a pod serves: by itself it would ask for /.

    It asks for no version: while one takes over from another, pods of both must pass.
    """
    return {
        "apiVersion": GKE,
        "kind": "HealthCheckPolicy",
        "metadata": metadata(deployed, deployed.of_track(track), track),
        "spec": {
            "default": {
                "checkIntervalSec": 10,
                "timeoutSec": 5,
                "healthyThreshold": 1,
                "unhealthyThreshold": 3,
                "config": {
                    "type": "HTTP",
                    "httpHealthCheck": {
                        "portSpecification": "USE_FIXED_PORT",
                        "port": server.REST,
                        "requestPath": f"/v1/models/{deployed.model}/metadata",
                    },
                },
            },
            "targetRef": {"group": "", "kind": "Service", "name": deployed.of_track(track)},
        },
    }


def draining(deployed: Deployed, track: str) -> dict[str, Any]:
    """GKE's load balancer lets what is in flight end on a pod that gets no more."""
    seconds = {"drainingTimeoutSec": deployed.target.drain_seconds}
    return {
        "apiVersion": GKE,
        "kind": "GCPBackendPolicy",
        "metadata": metadata(deployed, deployed.of_track(track), track),
        "spec": {
            "default": {"connectionDraining": seconds},
            "targetRef": {"group": "", "kind": "Service", "name": deployed.of_track(track)},
        },
    }


def http_route(deployed: Deployed) -> dict[str, Any]:
    """REST: a request that names a version or a label goes there, the others go by weight."""
    prefix = f"/v1/models/{deployed.model}"
    rules = [
        {
            "matches": [
                *_paths(f"{prefix}/versions/{published.version}"),
                *_paths(f"{prefix}/labels/{track}"),
            ],
            "backendRefs": [_backend(deployed, track, "rest")],
        }
        for track, published in deployed.tracks.items()
    ]
    rules.append({"matches": _paths(prefix), "backendRefs": _weighted(deployed, "rest")})
    return _route(deployed, "HTTPRoute", rules)


def _paths(path: str) -> list[dict[str, Any]]:
    """What is asked of a model: a prefix ends with a part of a path, and "NAME:predict" is one."""
    exact = [{"path": {"type": "Exact", "value": f"{path}:{method}"}} for method in _METHODS]
    return [*exact, {"path": {"type": "PathPrefix", "value": path}}]


def grpc_route(deployed: Deployed) -> dict[str, Any]:
    """GRPC: by weight alone, as a label stands inside of the message."""
    matches = [{"method": {"type": "Exact", "service": each}} for each in _GRPC_SERVICES]
    return _route(
        deployed, "GRPCRoute", [{"matches": matches, "backendRefs": _weighted(deployed, "grpc")}]
    )


def network_policy(deployed: Deployed) -> dict[str, Any]:
    """Who may ask the servers, and that these ask nobody, unless they read a bucket."""
    target = deployed.target
    ports = [{"protocol": "TCP", "port": port} for port in PORTS.values()]
    rule: dict[str, Any] = {"ports": ports}
    if target.clients:
        names = sorted({target.namespace, *target.clients})
        key = "kubernetes.io/metadata.name"
        spaces = {"matchExpressions": [{"key": key, "operator": "In", "values": names}]}
        rule["from"] = [{"namespaceSelector": spaces}]
        if target.gateway.name and target.provider == "gke":
            rule["from"] += [{"ipBlock": {"cidr": block}} for block in _HEALTH_CHECKS]
    spec: dict[str, Any] = {
        "podSelector": {"matchLabels": deployed.selector},
        "policyTypes": ["Ingress"],
        "ingress": [rule],
    }
    if not deployed.buckets:
        spec |= {"policyTypes": ["Ingress", "Egress"], "egress": []}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(deployed, deployed.name),
        "spec": spec,
    }


def _route(deployed: Deployed, kind: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    gateway = deployed.target.gateway
    parent = {"name": gateway.name} | (
        {"namespace": gateway.namespace} if gateway.namespace else {}
    )
    spec: dict[str, Any] = {"parentRefs": [parent]}
    if gateway.host:
        spec["hostnames"] = [gateway.host]
    return {
        "apiVersion": ROUTES,
        "kind": kind,
        "metadata": metadata(deployed, deployed.name),
        "spec": spec | {"rules": rules},
    }


def _weighted(deployed: Deployed, port: str) -> list[dict[str, Any]]:
    canary = deployed.target.gateway.canary_percent if "canary" in deployed.tracks else 0
    weights = {"stable": 100 - canary, "canary": canary}
    return [
        _backend(deployed, track, port) | {"weight": weights[track]} for track in deployed.tracks
    ]


def _backend(deployed: Deployed, track: str, port: str) -> dict[str, Any]:
    return {"name": deployed.of_track(track), "port": PORTS[port]}
