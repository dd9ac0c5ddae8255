"""What the lander tells of itself, for Prometheus."""

import dataclasses

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclasses.dataclass(frozen=True)
class Metrics:
    """Attributes:
    events: by kind.
    shards: that were written.
    bytes: of them.
    flush: seconds that a flush took.
    waiting: messages that wait in the queue, this lander's included.
    age: seconds since the oldest message that is not landed was published; 0: there is none.
    """

    registry: CollectorRegistry
    events: Counter
    shards: Counter
    bytes: Counter
    flush: Histogram
    waiting: Gauge
    age: Gauge


def metrics() -> Metrics:
    """New ones, all 0."""
    registry = CollectorRegistry()
    name = "podway_lander_"
    return Metrics(
        registry,
        Counter(f"{name}events", "Events, by what became of them.", ["kind"], registry=registry),
        Counter(f"{name}shards", "Shards that were written.", registry=registry),
        Counter(f"{name}bytes", "Bytes of the shards.", registry=registry),
        Histogram(
            f"{name}flush_seconds",
            "Time from the begin of a flush to its commit.",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
            registry=registry,
        ),
        Gauge(f"{name}waiting_messages", "Messages not yet landed.", registry=registry),
        Gauge(
            f"{name}age_seconds",
            "Age of the oldest message that is polled and not yet landed.",
            registry=registry,
        ),
    )
