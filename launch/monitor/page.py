"""Samples as Prometheus' text format: a page on a port, or a file for node_exporter's collector."""

import contextlib
import threading
import wsgiref.simple_server
from collections.abc import Iterable, Iterator

import prometheus_client
from etils import epath
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import make_wsgi_app
from prometheus_client.registry import Collector, CollectorRegistry

from podway.framework import artifact
from podway.framework.error import ConfigError
from podway.launch.monitor.alerts.catalogue import Metric, Samples


class Latest(Collector):
    """What the last pass found; safe to read while the next one replaces it."""

    def __init__(self) -> None:
        self._samples: Samples = []

    def replace(self, samples: Samples) -> None:
        """From now on these."""
        self._samples = samples

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """As prometheus_client asks for them: a family for each metric that has a sample."""
        families: dict[Metric, GaugeMetricFamily] = {}
        for sample in self._samples:
            metric = sample.metric
            if metric not in families:
                families[metric] = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            families[metric].add_metric(sample.values, sample.value)
        return list(families.values())


def text(samples: Samples) -> str:
    """The page."""
    registry, latest = CollectorRegistry(), Latest()
    latest.replace(samples)
    registry.register(latest)
    return prometheus_client.generate_latest(registry).decode()


def write(path: epath.PathLike, samples: Samples) -> None:
    """Writes the page into a file, in one step: the collector never reads half of one."""
    artifact.write_atomically(path, text(samples))


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing of each scrape."""


@contextlib.contextmanager
def served(latest: Latest, host: str, port: int) -> Iterator[int]:
    """Serves the page, at /metrics as at any other path, for the time of a block; gives the port.

    Raises ConfigError: the port cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(latest)
    try:
        server = wsgiref.simple_server.make_server(
            host, port, make_wsgi_app(registry), handler_class=_Quiet
        )
    except OSError as error:
        raise ConfigError(
            f"--port {port} of {host} cannot be listened on: {error.strerror or error}; give"
            " another one"
        ) from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
