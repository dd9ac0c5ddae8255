"""Samples of several rounds → rows of a table, each beside one server's."""

import dataclasses
import statistics
from collections.abc import Collection, Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sample:
    """A closed loop of some seconds at one server.

    Attributes:
      seconds: how long it ran.
      latencies: seconds that each request took.
      server: seconds of CPU that the server's processes used.
      client: seconds of CPU that this process used.
    """

    seconds: float
    latencies: np.ndarray
    server: float
    client: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def quantile(self, at: float) -> float:
        """Of the latencies, in milliseconds."""
        return float(np.quantile(self.latencies, at)) * 1e3


Samples = Mapping[str, Sequence[Sample]]
"""By server, round after round."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A server at one concurrency.

    Attributes:
      rate: requests a second, p50 and p99: milliseconds; the median of the rounds.
      server: milliseconds of the server's CPU for a request, over all rounds.
      client: the same of the client.
      rate_ratio: the reference's requests a second over this one's, the median of the rounds: what
        disturbs a round disturbs both.
      p99_ratio: the reference's p99 over this one's, likewise.
      server_ratio: this one's CPU for a request over the reference's.
    """

    name: str
    rate: float
    p50: float
    p99: float
    server: float
    client: float
    rate_ratio: float
    p99_ratio: float
    server_ratio: float


def rows(samples: Samples, reference: str) -> list[Row]:
    """A row for each server, beside the reference."""
    ours = samples[reference]
    return [_row(name, theirs, ours) for name, theirs in samples.items()]


def best(found: Sequence[Row], names: Collection[str]) -> Row:
    """Of these servers the one with the most requests a second."""
    return max((row for row in found if row.name in names), key=lambda row: row.rate)


def heading() -> str:
    """The head of the table, in Markdown."""
    names = ("server", "concurrency", "requests/s", "p50 ms", "p99 ms", "CPU ms", "client ms")
    return _line(*names, "× requests/s", "× p99", "× CPU") + "\n|---|" + "---:|" * 9


def line(row: Row, concurrency: int) -> str:
    """A row, in Markdown."""
    return _line(
        row.name,
        str(concurrency),
        f"{row.rate:,.0f}",
        f"{row.p50:.2f}",
        f"{row.p99:.1f}",
        f"{row.server:.3f}",
        f"{row.client:.3f}",
        f"{row.rate_ratio:.2f}",
        f"{row.p99_ratio:.2f}",
        f"{row.server_ratio:.2f}",
    )


def _row(name: str, theirs: Sequence[Sample], ours: Sequence[Sample]) -> Row:
    return Row(
        name,
        rate=statistics.median(sample.rate for sample in theirs),
        p50=statistics.median(sample.quantile(0.5) for sample in theirs),
        p99=statistics.median(sample.quantile(0.99) for sample in theirs),
        server=_cost(theirs, "server"),
        client=_cost(theirs, "client"),
        rate_ratio=statistics.median(
            mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True)
        ),
        p99_ratio=statistics.median(
            mine.quantile(0.99) / other.quantile(0.99)
            for mine, other in zip(ours, theirs, strict=True)
        ),
        server_ratio=_cost(theirs, "server") / _cost(ours, "server"),
    )


def _cost(samples: Sequence[Sample], whose: str) -> float:
    """Milliseconds of CPU for a request."""
    used = sum(getattr(sample, whose) for sample in samples)
    return used / sum(len(sample.latencies) for sample in samples) * 1e3


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
