"""TensorFlow Serving's configuration file, models.config: which versions of which models to serve.

A server that watches the file (--model_config_file_poll_wait_seconds, or the embedded one) follows
each change, so rewriting it is what publishes a version. Needs neither TensorFlow nor JAX.
"""

import os
from collections.abc import Sequence

from etils import epath
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import (
    ModelServerConfig,  # pyright: ignore[reportAttributeAccessIssue]
)

from export.error import ExportError
from framework import artifact

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


def versions(path: epath.PathLike, name: str) -> tuple[int, ...]:
    """The versions of a model that the file lists; () where the model isn't in it."""
    for model in read(path).model_config_list.config:
        if model.name == name:
            return tuple(model.model_version_policy.specific.versions)
    return ()


def serve(
    path: epath.PathLike, name: str, base_path: epath.PathLike, versions: Sequence[int]
) -> None:
    """Rewrites the file, in one step, so that exactly these versions of a model are served.

    Entries of other models stay. Labels of versions that are no longer served go with them: a
    server refuses a label without its version.
    """
    config = read(path)
    models = config.model_config_list.config
    model = next((model for model in models if model.name == name), None) or models.add(name=name)
    model.base_path = os.fspath(base_path)
    model.model_platform = PLATFORM
    model.model_version_policy.specific.versions[:] = versions
    for label, version in list(model.version_labels.items()):
        if version not in versions:
            del model.version_labels[label]
    artifact.write_atomically(path, text_format.MessageToString(config))
