"""What a nearline service tells of itself."""

import bisect
import dataclasses
import itertools
import threading
from collections.abc import Iterable, Iterator

from prometheus_client import Counter, Gauge
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)


class Durations(Collector):
    """A histogram that is told of many at once."""

    def __init__(self, name: str, said: str, bounds: Iterable[float], registry: CollectorRegistry):
        self._name, self._said, self._bounds = name, said, tuple(bounds)
        self._counts, self._sum = [0] * (len(self._bounds) + 1), 0.0
        self._lock = threading.Lock()
        registry.register(self)

    def observe(self, seconds: Iterable[float]) -> None:
        """Counts all of them."""
        with self._lock:
            for each in seconds:
                self._counts[bisect.bisect_left(self._bounds, each)] += 1
                self._sum += each

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """As Prometheus reads it."""
        with self._lock:
            counts, total = list(itertools.accumulate(self._counts)), self._sum
        names = [*map(str, self._bounds), "+Inf"]
        buckets = list(zip(names, counts, strict=True))
        yield HistogramMetricFamily(self._name, self._said, buckets=buckets, sum_value=total)


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
    seconds: Durations
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
        Durations(
            "podway_nearline_seconds",
            "From when the queue took an event to when a reader of the store sees it.",
            _SECONDS,
            registry,
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
