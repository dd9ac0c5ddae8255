"""All objects of a deployed model, in the order in which they are applied."""

from typing import Any

from podway.launch.targets.kubernetes import pods
from podway.launch.targets.kubernetes.serving import servers, traffic, watch
from podway.launch.targets.kubernetes.serving.deployed import Deployed

ROUTES = ("HTTPRoute", "GRPCRoute")
"""Kinds that send requests to a version: applied when its pods serve, and not before."""


def objects(deployed: Deployed) -> list[dict[str, Any]]:
    """Namespace, account, what each track has, what they share, and the routes last."""
    target = deployed.target
    found = [
        pods.namespace(target.namespace),
        pods.service_account(target),
        traffic.network_policy(deployed),
    ]
    for track in deployed.tracks:
        found += [
            servers.files(deployed, track),
            traffic.service(deployed, track),
            servers.deployment(deployed, track),
            servers.autoscaler(deployed, track),
            servers.budget(deployed, track),
        ]
        if target.gateway.name and target.provider == "gke":
            found += [traffic.health_check(deployed, track), traffic.draining(deployed, track)]
    found += [traffic.service(deployed), *watch.objects(deployed)]
    if target.gateway.name:
        found.append(traffic.http_route(deployed))
    if target.gateway.grpc:
        found.append(traffic.grpc_route(deployed))
    return found
