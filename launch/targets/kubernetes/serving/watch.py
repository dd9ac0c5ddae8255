"""What watches the servers: who collects their metrics, what is recorded, and who is told.

All metrics named here are on the page of both servers, or recorded here of such; a test holds them
against our server's page.
"""

import re
from typing import Any

from podway.launch.targets import server
from podway.launch.targets.kubernetes.launch import OWN
from podway.launch.targets.kubernetes.serving.deployed import TRACK, Deployed

REQUESTS = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"
LOADS = ":tensorflow:cc:saved_model:load_attempt_count"
RATE = "podway_serving_requests_per_second"
"""Recorded, of a pod: autoscalers take values as they are, and a counter never falls."""
_MISTAKES = "OK|INVALID_ARGUMENT|NOT_FOUND|CANCELLED|OUT_OF_RANGE|UNIMPLEMENTED"
"""Statuses of requests that did not fail by the server's fault."""
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
    limits, mine = deployed.target.alerts, _mine(deployed)
    by = f"by ({TRACK})"
    failed = f'sum {by} (rate({REQUESTS}{{{mine},status!~"{_MISTAKES}"}}[5m]))'
    all_of_them = f"sum {by} (rate({REQUESTS}{{{mine}}}[5m]))"
    # Ours counts probes and other GETs, too, as calls of no API.
    slow = f'sum by ({TRACK}, le) (rate({LATENCY}_bucket{{{mine},API!=""}}[5m]))'
    pods = f'namespace="{deployed.target.namespace}",pod=~"{deployed.of_track("stable")}-.*"'
    loads = f'namespace="{deployed.target.namespace}",pod=~"{deployed.name}-.*",status!="success"'
    micros = f"{1000 * limits.p99_milliseconds:g}"
    return [
        _alert(
            deployed,
            "PodwayServingFails",
            f"{failed} / {all_of_them} > {limits.error_percent / 100:g}",
            "5m",
            "critical",
            f"more than {limits.error_percent:g} % of the requests to {deployed.model} fail, on the"
            f" track {{{{ $labels.{TRACK} }}}}",
        ),
        _alert(
            deployed,
            "PodwayServingSlow",
            f"histogram_quantile(0.99, {slow}) > {micros}",
            "10m",
            "warning",
            f"1 % of the requests to {deployed.model} take longer than"
            f" {limits.p99_milliseconds:g} ms, on the track {{{{ $labels.{TRACK} }}}}",
        ),
        _alert(
            deployed,
            "PodwayServingDown",
            f"(sum(up{{{pods}}}) or vector(0)) < 1",
            "2m",
            "critical",
            f"no pod of the stable version of {deployed.model} answers",
        ),
        _alert(
            deployed,
            "PodwayServingLoadFails",
            f"sum by (pod, model_path) (increase({LOADS}{{{loads}}}[15m])) > 0",
            "0m",
            "critical",
            "{{ $labels.pod }} cannot load {{ $labels.model_path }}",
        ),
    ]


def _alert(
    deployed: Deployed, name: str, expression: str, lasting: str, severity: str, summary: str
) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": lasting,
        "labels": {"severity": severity, "model": deployed.model},
        "annotations": {"summary": summary},
    }


def metrics(expression: str) -> set[str]:
    """The metrics of ours that an expression names; of a histogram's parts, the histogram."""
    parts = re.compile(rf"({LATENCY})_(bucket|sum|count)")
    return {parts.sub(r"\1", name) for name in METRIC.findall(expression)}
