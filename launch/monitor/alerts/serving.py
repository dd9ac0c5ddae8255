"""Alerts on servers: one definition for the rule files and for what is deployed on Kubernetes.

Those of `alerts` name what TensorFlow Serving's page has, too; those of `lists` only ours counts.
"""

import dataclasses

from podway.launch.monitor.alerts.alert import Alert, Thresholds

REQUESTS = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"
LOADS = ":tensorflow:cc:saved_model:load_attempt_count"
RECOMMENDED = "podway_serving_recommendations_total"
EMPTY = "podway_serving_empty_recommendations_total"
INVALID = "podway_serving_invalid_recommendations_total"
DROPPED = "podway_serving_dropped_log_requests_total"
MISTAKES = "OK|INVALID_ARGUMENT|NOT_FOUND|CANCELLED|OUT_OF_RANGE|UNIMPLEMENTED"
"""Statuses of requests that did not fail by the server's fault."""
JOB = "podway-serving"
"""Of the servers, in the scrape config that goes with the rules."""


@dataclasses.dataclass(frozen=True)
class Scope:
    """Of which servers alerts speak, and how.

    Attributes:
      requests: matchers of their requests; "": all.
      by: label that tells them apart.
      model: what the summary calls the model.
      where: what the summary says after that, with a comma before it.
      down: expression of a server that is gone.
      gone: what the summary says of that.
      loads: matchers of their loads, beside the status.
      loader: label of who loads.
    """

    requests: str
    by: str
    model: str
    where: str
    down: str
    gone: str
    loads: str
    loader: str


ALL = Scope(
    requests="",
    by="model_name",
    model="{{ $labels.model_name }}",
    where="",
    down=f'up{{job="{JOB}"}} == 0',
    gone="the server at {{ $labels.instance }} does not answer",
    loads="",
    loader="instance",
)
"""All servers that a Prometheus sees."""


def alerts(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    """Whether servers answer, in time, and load what they should."""
    by = f"by ({scope.by})"
    failures = _of(scope.requests, f'status!~"{MISTAKES}"')
    failed = f"sum {by} (rate({REQUESTS}{failures}[5m]))"
    all_of_them = f"sum {by} (rate({REQUESTS}{_of(scope.requests)}[5m]))"
    # Ours counts probes and other GETs, too, as calls of no API.
    answers = _of(scope.requests, 'API!=""')
    slow = f"sum by ({scope.by}, le) (rate({LATENCY}_bucket{answers}[5m]))"
    loads = _of(scope.loads, 'status!="success"')
    return (
        Alert(
            "PodwayServingFails",
            f"{failed} / {all_of_them} > {limits.error_percent / 100:g}",
            "5m",
            "critical",
            f"more than {limits.error_percent:g} % of the requests to {scope.model} fail"
            f"{scope.where}",
        ),
        Alert(
            "PodwayServingSlow",
            f"histogram_quantile(0.99, {slow}) > {1000 * limits.p99_milliseconds:g}",
            "10m",
            "warning",
            f"1 % of the requests to {scope.model} take longer than {limits.p99_milliseconds:g} ms"
            f"{scope.where}",
        ),
        Alert("PodwayServingDown", scope.down, "2m", "critical", scope.gone),
        Alert(
            "PodwayServingLoadFails",
            f"sum by ({scope.loader}, model_path) (increase({LOADS}{loads}[15m])) > 0",
            "0m",
            "critical",
            f"{{{{ $labels.{scope.loader} }}}} cannot load {{{{ $labels.model_path }}}}",
        ),
    )


def lists(limits: Thresholds) -> tuple[Alert, ...]:
    """What the lists of a recommender look like, and whether the log of requests is whole."""
    by = "by (model_name, model_version)"
    who = "{{ $labels.model_name }} version {{ $labels.model_version }}"
    return (
        Alert(
            "PodwayServingEmptyLists",
            f"sum {by} (rate({EMPTY}[5m])) / sum {by} (rate({RECOMMENDED}[5m]))"
            f" > {limits.empty_percent / 100:g}",
            "5m",
            "warning",
            f"more than {limits.empty_percent:g} % of the lists of {who} have no item",
        ),
        Alert(
            "PodwayServingInvalidScores",
            f"sum {by} (increase({INVALID}[5m])) > 0",
            "0m",
            "critical",
            f"{who} answers with scores that are not numbers",
        ),
        Alert(
            "PodwayServingLogDrops",
            f"sum by (instance) (increase({DROPPED}[15m])) > 0",
            "15m",
            "warning",
            "the server at {{ $labels.instance }} cannot write its log of requests",
        ),
    )


def _of(*matchers: str) -> str:
    found = ",".join(each for each in matchers if each)
    return f"{{{found}}}" if found else ""
