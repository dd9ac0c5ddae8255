"""What a nearline service tells of itself."""

import dataclasses

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)


@dataclasses.dataclass(frozen=True)
class Metrics:
    """Attributes:
    events: by outcome: new, repeated, malformed, skewed, other.
    seconds: from when the queue took an event to when a reader of the store sees it.
    users: histories that changed.
    conflicts: writes that another writer was quicker with, and that were tried again.
    failures: batches that were tried again since the store or the queue did not answer.
    waiting: messages that wait for the group; -1: the queue does not say.
    """

    events: Counter
    seconds: Histogram
    users: Counter
    conflicts: Counter
    failures: Counter
    waiting: Gauge


def metrics(registry: CollectorRegistry) -> Metrics:
    """In a registry."""
    return Metrics(
        Counter(
            "podway_nearline_events", "Events taken in, by outcome.", ["outcome"], registry=registry
        ),
        Histogram(
            "podway_nearline_seconds",
            "From when the queue took an event to when a reader of the store sees it.",
            buckets=_SECONDS,
            registry=registry,
        ),
        Counter("podway_nearline_users", "Histories that changed.", registry=registry),
        Counter(
            "podway_nearline_conflicts",
            "Writes that another writer was quicker with, and that were tried again.",
            registry=registry,
        ),
        Counter(
            "podway_nearline_failures",
            "Batches that were tried again since store or queue did not answer.",
            registry=registry,
        ),
        Gauge(
            "podway_nearline_waiting",
            "Messages that wait for the group; -1: the queue does not say.",
            registry=registry,
        ),
    )
