"""What the gateway tells Prometheus. No label holds a user, an item, or what a caller made up."""

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
STATES = ("closed", "half", "open")


class Metrics:
    """Of one process.

    Args:
      registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry):
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"podway_gateway_{name}", text, labels, registry=registry)

        self.requests = counter("requests", "Requests, by how they ended.", "protocol", "status")
        self.answers = counter("answers", "Answers, by who gave them.", "source")
        self.missing = counter("missing", "Hops that did not answer, and why.", "hop", "code")
        self.hedged = counter("hedged", "Calls that were asked twice, by who won.", "won")
        self.impressions = counter("impressions", "Events, by what came of them.", "outcome")
        self.arms = counter("arms", "Answers to users of an arm.", "trial", "arm")
        self.seconds = Histogram(
            "podway_gateway_seconds",
            "From a request to its answer.",
            ("protocol",),
            registry=registry,
            buckets=_BUCKETS,
        )
        self.hops = Histogram(
            "podway_gateway_hop_seconds",
            "What a hop took.",
            ("hop",),
            registry=registry,
            buckets=_BUCKETS,
        )
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
        self.in_flight = Gauge(
            "podway_gateway_in_flight",
            "Requests that are being answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
