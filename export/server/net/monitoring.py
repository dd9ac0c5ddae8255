"""Where Prometheus finds the metrics, from tensorflow_model_server's monitoring_config_file.

prometheus_config { enable: true  path: "/monitoring/prometheus/metrics" }
"""

from etils import epath

from podway.export.server import text_proto
from podway.export.server.error import ServerError

FLAG = "monitoring_config_file"
PATH = "/monitoring/prometheus/metrics"
"""Where they are unless the file says otherwise."""


def read(path: epath.PathLike | str) -> str | None:
    """The path of the metrics on the REST port; None: they are not served. Raises ServerError."""
    if not str(path):
        return None
    config = text_proto.read(path, "MonitoringConfig", FLAG).prometheus_config
    if not config.enable:
        return None
    found = config.path or PATH
    if not found.startswith("/") or found.startswith("/v1/"):
        raise ServerError(
            f"{FLAG} {path}: prometheus_config.path is {found!r}; give a path of the REST port that"
            f" begins with / and not with /v1/, such as {PATH}"
        )
    return found
