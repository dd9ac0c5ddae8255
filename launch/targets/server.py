"""How a server of one published version is run: its command and the files that it reads.

The same on a cluster and on Cloud Run. The files pin the version: which of the published ones a
server has is decided by who deployed it, and not by what is exported next.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from podway.launch.targets.published import Published

Server = Literal["tensorflow-serving", "podway"]

GRPC, REST = 8500, 8501
"""Ports."""
METRICS = "/monitoring/prometheus/metrics"
"""Path of the metrics on the REST port, as both servers have it by default."""
FILES = "/podway/server"
"""Where the files lie in a container, unless it is said otherwise."""

_MODELS, _BATCHING, _MONITORING = "models.config", "batching.config", "monitoring.config"
_BINARIES = {"tensorflow-serving": "tensorflow_model_server", "podway": "podway-model-server"}
_ENQUEUED = 100
"""Batches that may wait; beyond them requests are refused."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A server of one version.

    Attributes:
      server: TensorFlow's, or ours.
      published: the version.
      folder: of the model's versions, as the container sees it.
      threads: runs that are in progress at once.
      gpu: whether it has one.
      label: by which requests may ask for the version; "": none.
      home: where the server's files lie.
    """

    server: Server
    published: Published
    folder: str
    threads: int = 1
    gpu: bool = False
    label: str = ""
    home: str = FILES

    @property
    def batches(self) -> bool:
        """Whether requests are merged by the batch sizes of the export.

        TensorFlow Serving pads what is shorter by its own first value, so that a history would end
        with its oldest item, and refuses it unless it may pad: requests that differ in length are
        not batched there. Ours batches those of like length.
        """
        return self.server == "podway" or not self.published.ragged

    @property
    def ready(self) -> str:
        """Path on the REST port that answers once the version can be asked, and fails before."""
        return f"/v1/models/{self.published.name}/versions/{self.published.version}/metadata"

    def files(self) -> Mapping[str, str]:
        """What lies in `home`: name → text."""
        found = {_MODELS: self._models(), _MONITORING: _monitoring()}
        if self.batches:
            found[_BATCHING] = batching(self.published, self.threads)
        return found

    def command(self) -> list[str]:
        """The command, a word each."""
        flags = {
            "port": str(GRPC),
            "rest_api_port": str(REST),
            "model_config_file": f"{self.home}/{_MODELS}",
            "monitoring_config_file": f"{self.home}/{_MONITORING}",
            # Without it a model, a StableHLO program, cannot be run at all.
            "xla_cpu_compilation_enabled": "true",
            "enable_grpc_healthcheck_service": "true",
        }
        if self.label:
            # Or a server that starts refuses labels of versions that it has not read yet.
            flags["allow_version_labels_for_unavailable_models"] = "true"
        if self.gpu:
            flags["xla_gpu_compilation_enabled"] = "true"
        if self.server == "podway":
            flags["host"] = "0.0.0.0"  # which is TensorFlow Serving's default, and no flag of it
        if self.batches:
            flags["enable_batching"] = "true"
            flags["batching_parameters_file"] = f"{self.home}/{_BATCHING}"
        return [_BINARIES[self.server], *(f"--{name}={value}" for name, value in flags.items())]

    def _models(self) -> str:
        """models.config of this version alone."""
        version = self.published.version
        lines = [
            f"name: {json.dumps(self.published.name)}",
            f"base_path: {json.dumps(self.folder)}",
            'model_platform: "tensorflow"',
            f"model_version_policy {{ specific {{ versions: {version} }} }}",
        ]
        if self.label:
            lines.append(f'version_labels {{ key: "{self.label}" value: {version} }}')
        inside = "".join(f"    {line}\n" for line in lines)
        return f"model_config_list {{\n  config {{\n{inside}  }}\n}}\n"


def batching(published: Published, threads: int) -> str:
    """Batching parameters: batches of the sizes that the export compiled, and no waiting."""
    sizes = published.batch_buckets
    return (
        f"max_batch_size {{ value: {sizes[-1]} }}\n"
        "batch_timeout_micros { value: 0 }\n"
        f"max_enqueued_batches {{ value: {_ENQUEUED} }}\n"
        f"num_batch_threads {{ value: {threads} }}\n"
        f"allowed_batch_sizes: [{', '.join(map(str, sizes))}]\n"
    )


def _monitoring() -> str:
    return f'prometheus_config {{ enable: true path: "{METRICS}" }}\n'
