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
    try:
        return _parse(path.read_text() if path.exists() else "", path)
    except UnicodeDecodeError as error:
        raise ExportError(f"{path} is not a model server configuration: {error}") from error


def _parse(text: str, path: epath.PathLike) -> ModelServerConfig:
    config = ModelServerConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
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
    return _served(read(path), name)


def _served(config: ModelServerConfig, name: str) -> Served:
    for model in config.model_config_list.config:
        if model.name == name:
            versions = tuple(sorted(model.model_version_policy.specific.versions))
            return Served(versions, dict(sorted(model.version_labels.items())))
    return Served()


def write(
    path: epath.PathLike, name: str, base_path: epath.PathLike, wanted: Served, before: Served
) -> None:
    """Rewrites the file, in one step, so that just this is asked for of a model.

    Entries of other models stay, and so does what else the model's own entry says. The caller has
    the turn (export/versions/turn.py); on gs://, where a process that hangs loses it, the store
    refuses to replace what others wrote meanwhile.

    Raises ExportError where the file does not say `before` of the model any more.
    """

    def change(text: str) -> str:
        config = _parse(text, path)
        if _served(config, name) != before:
            raise ExportError(f"{path}: {name} was changed by somebody else meanwhile; try again")
        _ask_for(config, name, base_path, wanted)
        return text_format.MessageToString(config)

    path = epath.Path(path)
    if "://" in str(path):
        artifact.exchange(path, change)
    else:
        artifact.write_atomically(path, change(path.read_text() if path.exists() else ""))


def _ask_for(
    config: ModelServerConfig, name: str, base_path: epath.PathLike, wanted: Served
) -> None:
    models = config.model_config_list.config
    model = next((model for model in models if model.name == name), None) or models.add(name=name)
    model.base_path = os.fspath(base_path)
    model.model_platform = PLATFORM
    model.model_version_policy.specific.versions[:] = wanted.versions
    model.version_labels.clear()
    for label, version in wanted.labels.items():
        model.version_labels[label] = version
