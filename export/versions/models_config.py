"""TensorFlow Serving's configuration file, models.config: which versions of which models to serve.

A server that watches the file (--model_config_file_poll_wait_seconds, or the embedded one) follows
each change, so rewriting it is what publishes a version. Needs neither TensorFlow nor JAX.
"""

import dataclasses
import os
from collections.abc import Mapping

from etils import epath
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import (
    ModelServerConfig,  # pyright: ignore[reportAttributeAccessIssue]
)

from podway.export.error import ExportError
from podway.framework import artifact

PLATFORM = "tensorflow"


def read(path: epath.PathLike) -> ModelServerConfig:
    """The configuration in a file; an empty one where there is none. Raises ExportError."""
    path = epath.Path(path)
    config = ModelServerConfig()
    if path.exists():
        try:
            text_format.Parse(path.read_text(), config)
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise ExportError(f"{path} is not a model server configuration: {error}") from error
        if config.HasField("custom_model_config"):
            raise ExportError(f"{path} has a custom_model_config; give a model_config_list")
    return config


@dataclasses.dataclass(frozen=True)
class Served:
    """What the file asks for of one model.

    Attributes:
      versions: rising. A request that names none of them, and no label, gets the highest.
      labels: label → version, which is one of these.
    """

    versions: tuple[int, ...] = ()
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)


def served(path: epath.PathLike, name: str) -> Served:
    """What the file asks for of a model; Served() where the model isn't in it."""
    for model in read(path).model_config_list.config:
        if model.name == name:
            versions = tuple(sorted(model.model_version_policy.specific.versions))
            return Served(versions, dict(sorted(model.version_labels.items())))
    return Served()


def write(path: epath.PathLike, name: str, base_path: epath.PathLike, wanted: Served) -> None:
    """Rewrites the file, in one step, so that just this is asked for of a model.

    Entries of other models stay, and so does what else the model's own entry says.
    """
    config = read(path)
    models = config.model_config_list.config
    model = next((model for model in models if model.name == name), None) or models.add(name=name)
    model.base_path = os.fspath(base_path)
    model.model_platform = PLATFORM
    model.model_version_policy.specific.versions[:] = wanted.versions
    model.version_labels.clear()
    for label, version in wanted.labels.items():
        model.version_labels[label] = version
    artifact.write_atomically(path, text_format.MessageToString(config))
