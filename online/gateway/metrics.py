"""What the gateway tells Prometheus. No label holds a user, an item, or what a caller made up."""

from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
STATES = ("closed", "half", "open")


class _Known:
    """Children of a metric, found again by their labels without its lock."""

    def __init__(self, metric: Any):
        self._metric, self._children = metric, dict[tuple[str, ...], Any]()

    def labels(self, *values: str) -> Any:
        found = self._children.get(values)
        if found is None:
            found = self._children[values] = self._metric.labels(*values)
        return found


class Metrics:
    """Of one process.

    Args:
      registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry):
        def counter(name: str, text: str, *labels: str) -> _Known:
            return _Known(Counter(f"podway_gateway_{name}", text, labels, registry=registry))

        def histogram(name: str, text: str, *labels: str) -> _Known:
            return _Known(
                Histogram(
                    f"podway_gateway_{name}", text, labels, registry=registry, buckets=_BUCKETS
                )
            )

        self.requests = counter("requests", "Requests, by how they ended.", "protocol", "status")
        self.answers = counter("answers", "Answers, by who gave them.", "source")
        self.missing = counter("missing", "Hops that did not answer, and why.", "hop", "code")
        self.hedged = counter("hedged", "Calls that were asked twice, by who won.", "won")
        self.impressions = counter("impressions", "Events, by what came of them.", "outcome")
        self.events = counter("events", "Clients' events, by what came of them.", "outcome")
        self.arms = counter("arms", "Answers to users of an arm.", "trial", "arm")
        self.seconds = histogram("seconds", "From a request to its answer.", "protocol")
        self.hops = histogram("hop_seconds", "What a hop took.", "hop")
        self.breakers = Gauge(
            "podway_gateway_breaker",
            "0 closed, 1 tried again, 2 left alone.",
            ("backend",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.waiting = Gauge(
            "podway_gateway_waiting",
            "Answers whose impressions wait for the queue.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.events_waiting = Gauge(
            "podway_gateway_events_waiting",
            "Clients' events that wait for the queue.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.in_flight = Gauge(
            "podway_gateway_in_flight",
            "Requests that are being answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
