"""What watches the servers: who collects their metrics, what is recorded, and who is told.

All metrics named here are on the page of both servers, or recorded here of such; a test holds them
against our server's page. The alerts are those of launch/monitor/alerts/serving.py.
"""

import re
from typing import Any

from podway.launch.monitor.alerts.alert import Thresholds
from podway.launch.monitor.alerts.serving import LATENCY, REQUESTS, Scope, alerts
from podway.launch.targets import server
from podway.launch.targets.kubernetes.launch import OWN
from podway.launch.targets.kubernetes.serving.deployed import TRACK, Deployed

RATE = "podway_serving_requests_per_second"
"""Recorded, of a pod: autoscalers take values as they are, and a counter never falls."""
_INTERVAL = "15s"
METRIC = re.compile(r"(?<![\w:])(:[a-z_:]+|podway_[a-z_]+)")
"""A metric of ours in an expression."""


def scaling_metric(deployed: Deployed) -> str:
    """The autoscaler's name of RATE: GKE's adapter has one of its own."""
    if deployed.target.monitoring == "gke":
        return f"prometheus.googleapis.com|{RATE}|gauge"
    return RATE


def objects(deployed: Deployed) -> list[dict[str, Any]]:
    """The objects of the target's kind of monitoring."""
    match deployed.target.monitoring:
        case "prometheus-operator":
            return [_pod_monitor(deployed), _rules(deployed, "monitoring.coreos.com/v1")]
        case "gke":
            return [_pod_monitoring(deployed), _rules(deployed, "monitoring.googleapis.com/v1")]
    return []


def _metadata(deployed: Deployed) -> dict[str, Any]:
    target = deployed.target
    return {
        "name": deployed.name,
        "namespace": target.namespace,
        "labels": deployed.labels(),
    }


def _pod_monitor(deployed: Deployed) -> dict[str, Any]:
    label = "__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", f"{OWN}/{TRACK}")
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": _metadata(deployed),
        "spec": {
            "selector": {"matchLabels": deployed.selector},
            "podMetricsEndpoints": [
                {
                    "port": "rest",
                    "path": server.METRICS,
                    "interval": _INTERVAL,
                    "relabelings": [{"sourceLabels": [label], "targetLabel": TRACK}],
                }
            ],
        },
    }


def _pod_monitoring(deployed: Deployed) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.googleapis.com/v1",
        "kind": "PodMonitoring",
        "metadata": _metadata(deployed),
        "spec": {
            "selector": {"matchLabels": deployed.selector},
            "endpoints": [{"port": "rest", "path": server.METRICS, "interval": _INTERVAL}],
            "targetLabels": {"fromPod": [{"from": f"{OWN}/{TRACK}", "to": TRACK}]},
        },
    }


def _rules(deployed: Deployed, version: str) -> dict[str, Any]:
    kind = "PrometheusRule" if "coreos" in version else "Rules"
    recorded = [{"record": RATE, "expr": rate(deployed)}]
    groups = [
        {"name": f"{deployed.name}.recorded", "interval": _INTERVAL, "rules": recorded},
        {"name": f"{deployed.name}.alerts", "interval": "30s", "rules": _alerts(deployed)},
    ]
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": _metadata(deployed),
        "spec": {"groups": groups},
    }


def rate(deployed: Deployed) -> str:
    """Requests a second of a pod."""
    return f"sum by (namespace, pod) (rate({REQUESTS}{{{_mine(deployed)}}}[1m]))"


def _mine(deployed: Deployed) -> str:
    return f'namespace="{deployed.target.namespace}",model_name="{deployed.model}"'


def _alerts(deployed: Deployed) -> list[dict[str, Any]]:
    """Those of `podway monitor rules`, of this model's servers alone."""
    target, limits = deployed.target, deployed.target.alerts
    pods = f'namespace="{target.namespace}",pod=~"{deployed.of_track("stable")}-.*"'
    scope = Scope(
        requests=_mine(deployed),
        by=TRACK,
        model=deployed.model,
        where=f", on the track {{{{ $labels.{TRACK} }}}}",
        down=f"(sum(up{{{pods}}}) or vector(0)) < 1",
        gone=f"no pod of the stable version of {deployed.model} answers",
        loads=f'namespace="{target.namespace}",pod=~"{deployed.name}-.*"',
        loader="pod",
    )
    thresholds = Thresholds(
        error_percent=limits.error_percent, p99_milliseconds=limits.p99_milliseconds
    )
    found = alerts(scope, thresholds)
    return [each.rule(limits.runbooks, model=deployed.model) for each in found]


def metrics(expression: str) -> set[str]:
    """The metrics of ours that an expression names; of a histogram's parts, the histogram."""
    parts = re.compile(rf"({LATENCY})_(bucket|sum|count)")
    return {parts.sub(r"\1", name) for name in METRIC.findall(expression)}
