"""What the server counts and times, as the page that Prometheus reads.

Names, labels and buckets are TensorFlow Serving's, with its ":" for each "/" of a path such as
/tensorflow/serving/request_count; prometheus_client would add a _total to the counters. Times are
in microseconds. What it has no name for begins with podway_serving_, and ends as Prometheus' own
names do.
"""

import bisect
import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

_SERVING = "/tensorflow/serving/"
_LOADING = "/tensorflow/cc/saved_model/"


def _exponential(first: float, growth: float, count: int) -> tuple[float, ...]:
    """Upper limits of a histogram's buckets, but for the last, which has none."""
    return tuple(first * growth**power for power in range(count))


_LATENCY = _exponential(10, 1.8, 33)


@dataclasses.dataclass(frozen=True, eq=False)  # each is one of a kind, and so is found at once
class Kind:
    """A metric.

    Attributes:
      path: TensorFlow's name of it.
      labels: names of the labels.
      limits: the buckets' upper limits, of a histogram; None: a counter.
    """

    path: str
    labels: tuple[str, ...]
    limits: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """Its name on the page."""
        return self.path.replace("/", ":")


REQUESTS = Kind(_SERVING + "request_count", ("model_name", "status"))
REQUEST_LATENCY = Kind(_SERVING + "request_latency", ("model_name", "API", "entrypoint"), _LATENCY)
RUNTIME_LATENCY = Kind(_SERVING + "runtime_latency", ("model_name", "API", "runtime"), _LATENCY)
EXAMPLES = Kind(_SERVING + "request_example_counts", ("model",), _exponential(1, 2, 15))
EXAMPLES_TOTAL = Kind(_SERVING + "request_example_count_total", ("model",))
QUEUING_LATENCY = Kind(
    _SERVING + "batching_session/queuing_latency",
    ("thread_pool_name",),
    _exponential(100, 1.2, 52),
)
WARMUP_LATENCY = Kind(_SERVING + "model_warmup_latency", ("model_path", "status"), _LATENCY)
WARMUP_RECORDS = Kind(_SERVING + "model_warmup_records_read", ("model_path", "status"))
LOADS = Kind(_LOADING + "load_attempt_count", ("model_path", "status"))
LOAD_LATENCY = Kind(_LOADING + "load_latency", ("model_path",))
_ANSWERED = ("model_name", "model_version")
RECOMMENDED = Kind("podway_serving_recommendations_total", _ANSWERED)
"""Rows that were answered with a list of items."""
EMPTY = Kind("podway_serving_empty_recommendations_total", _ANSWERED)
"""Of them, those whose list has no item."""
SHORT = Kind("podway_serving_short_recommendations_total", _ANSWERED)
"""Of them, those whose list has fewer items than it could."""
INVALID = Kind("podway_serving_invalid_recommendations_total", _ANSWERED)
"""Of them, those with a score that is not a number."""
BEST_SCORE = Kind(
    "podway_serving_best_score",
    _ANSWERED,
    (-100, -50, -20, -10, -5, -2, -1, -0.5, -0.2, 0, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100),
)
"""Of a list's first item; of lists that have one."""
LOGGED = Kind("podway_serving_logged_requests_total", ())
"""Requests that are in the log of requests."""
DROPPED = Kind("podway_serving_dropped_log_requests_total", ())
"""Requests that should be, but for which there was no room in time, or on the disk."""
KINDS = (
    REQUESTS,
    REQUEST_LATENCY,
    RUNTIME_LATENCY,
    EXAMPLES,
    EXAMPLES_TOTAL,
    QUEUING_LATENCY,
    WARMUP_LATENCY,
    WARMUP_RECORDS,
    LOADS,
    LOAD_LATENCY,
    RECOMMENDED,
    EMPTY,
    SHORT,
    INVALID,
    BEST_SCORE,
    LOGGED,
    DROPPED,
)

_RUNTIME = "TF1"  # the session; TensorFlow Serving's default, too
_POOL = "model_server_batch_threads"


class Metrics:
    """The server's counters and histograms; safe to use from any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._counters: dict[Kind, dict[tuple[str, ...], int]] = {kind: {} for kind in KINDS}
        self._histograms: dict[Kind, dict[tuple[str, ...], _Histogram]] = {
            kind: {} for kind in KINDS
        }

    # ------------------------------------------------------------------------------- events

    def answered(self, model: str, status: str) -> None:
        """A request has been answered, by this status, e.g. "OK"."""
        self.count(REQUESTS, model, status)

    def took(self, model: str, api: str, entrypoint: str, seconds: float) -> None:
        """How long a request that went well took, by "GRPC" or "REST"."""
        self.observe(REQUEST_LATENCY, seconds * 1e6, model, api, entrypoint)

    def ran(self, model: str, api: str, seconds: float) -> None:
        """How long the run of a signature took, its wait for a batch included."""
        self.observe(RUNTIME_LATENCY, seconds * 1e6, model, api, _RUNTIME)

    def examples(self, model: str, number: int) -> None:
        """A request had so many examples."""
        self.observe(EXAMPLES, number, model)
        self.count(EXAMPLES_TOTAL, model, by=number)

    def queued(self, seconds: float) -> None:
        """How long a request waited for its run to begin."""
        self.observe(QUEUING_LATENCY, seconds * 1e6, _POOL)

    @contextlib.contextmanager
    def loading(self, path: str) -> Iterator[None]:
        """Around the reading of a SavedModel."""
        start = time.perf_counter()
        try:
            yield
        except BaseException:
            self.count(LOADS, path, "fail")
            raise
        self.count(LOADS, path, "success")
        self.count(LOAD_LATENCY, path, by=round((time.perf_counter() - start) * 1e6))

    def warmed(self, path: str, records: int, seconds: float) -> None:
        """A SavedModel's warm-up requests have been replayed; one that fails isn't counted."""
        self.observe(WARMUP_LATENCY, seconds * 1e6, path, "OK")
        self.count(WARMUP_RECORDS, path, "OK", by=records)

    # -------------------------------------------------------------------------------- values

    def count(self, kind: Kind, *labels: str, by: int = 1) -> None:
        """Adds to a counter."""
        with self._lock:
            cells = self._counters[kind]
            cells[labels] = cells.get(labels, 0) + by

    def observe(self, kind: Kind, value: float, *labels: str) -> None:
        """Adds a value to a histogram."""
        self.observe_all(kind, (value,), *labels)

    def observe_all(self, kind: Kind, values: Iterable[float], *labels: str) -> None:
        """Adds values to a histogram."""
        assert kind.limits is not None
        with self._lock:
            cells = self._histograms[kind]
            if labels not in cells:
                cells[labels] = _Histogram([0] * (len(kind.limits) + 1))
            for value in values:
                cells[labels].add(value, kind.limits)

    def counted(self, path: str) -> int:
        """The value of a counter's first cell, by TensorFlow's name; 0 where there is none."""
        with self._lock:
            for kind, cells in self._counters.items():
                if kind.path == path and cells:
                    return next(iter(cells.values()))
        return 0

    def page(self) -> str:
        """All metrics as Prometheus's text format."""
        lines = []
        with self._lock:
            for kind in sorted(KINDS, key=lambda kind: kind.path):
                lines.append(f"# TYPE {kind.name} {'histogram' if kind.limits else 'counter'}")
                for labels, number in self._counters[kind].items():
                    lines.append(f"{kind.name}{{{_labels(kind, labels)}}} {number}")
                for labels, histogram in self._histograms[kind].items():
                    lines += histogram.lines(kind, _labels(kind, labels))
        return "\n".join(lines) + "\n"


def sum_pages(*pages: str) -> str:
    """One page of the sums, of pages that have the same metrics in the same order."""
    families: dict[str, dict[str, float]] = {}
    for page in pages:
        family: dict[str, float] = {}
        for line in page.splitlines():
            if line.startswith("#"):
                family = families.setdefault(line, {})
            else:
                sample, _, value = line.rpartition(" ")
                number = float(value) if "." in value or "e" in value else int(value)
                family[sample] = family.get(sample, 0) + number
    lines = []
    for kind, family in families.items():
        lines += [kind, *(f"{sample} {value}" for sample, value in family.items())]
    return "\n".join(lines) + "\n"


@dataclasses.dataclass
class _Histogram:
    counts: list[int]
    sum: float = 0.0

    def add(self, value: float, limits: Sequence[float]) -> None:
        self.counts[bisect.bisect_right(limits, value)] += 1
        self.sum += value

    def lines(self, kind: Kind, labels: str) -> list[str]:
        assert kind.limits is not None
        until = [f"{limit:g}" for limit in kind.limits] + ["+Inf"]
        totals = itertools.accumulate(self.counts)
        return [
            *(
                f'{kind.name}_bucket{{{labels},le="{limit}"}} {total}'
                for limit, total in zip(until, totals, strict=True)
            ),
            f"{kind.name}_sum{{{labels}}} {self.sum:g}",
            f"{kind.name}_count{{{labels}}} {sum(self.counts)}",
        ]


def _labels(kind: Kind, values: Sequence[str]) -> str:
    pairs = zip(kind.labels, map(_escape, values), strict=True)
    return ",".join(f'{name}="{value}"' for name, value in pairs)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
