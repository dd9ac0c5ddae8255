"""What a model config file (export/versions/models_config.py) asks for, as dataclasses.

model_config_list {
  config {
    name: "movielens"  base_path: "/models/movielens"  model_platform: "tensorflow"
    model_version_policy { specific { versions: 3 } }
  }
}
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import dataclasses
import re

from etils import epath
from tensorflow_serving.config import model_server_config_pb2

from podway.export.error import ExportError
from podway.export.server.error import ServerError
from podway.export.versions import models_config

_NUMBER = re.compile("[0-9]+").fullmatch


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """One served model.

    Attributes:
      name: what requests call it.
      base_path: folder of its versions, INTEGER/saved_model.pb, perhaps with zeros in front.
      versions: the versions to serve; None: the `latest` highest, or all.
      latest: how many of the highest versions to serve; None: all.
      labels: label → version, for requests that name a label.
    """

    name: str
    base_path: epath.Path
    versions: tuple[int, ...] | None = None
    latest: int | None = 1
    labels: dict[str, int] = dataclasses.field(default_factory=dict)


def read(path: epath.PathLike) -> dict[str, ModelConfig]:
    """The models of a config file, by name. Raises ServerError."""
    where = f"model_config_file {path}"
    try:
        if not epath.Path(path).exists():
            raise ServerError(f"{where} does not exist")
        config = models_config.read(path)
    except OSError as error:
        raise ServerError(f"{where} cannot be read: {error.strerror or error}") from error
    except ExportError as error:
        raise ServerError(f"model_config_file: {error}") from error
    return parse(config, where)


def parse(config: model_server_config_pb2.ModelServerConfig, where: str) -> dict[str, ModelConfig]:
    """The models of a config, by name; `where` says in errors what it is. Raises ServerError."""
    if not config.HasField("model_config_list"):
        raise ServerError(f"{where} has no model_config_list")
    models: dict[str, ModelConfig] = {}
    for entry in config.model_config_list.config:
        if entry.name in models:
            raise ServerError(
                f"{where}: Illegal to list model {entry.name} multiple times in config list"
            )
        models[entry.name] = _model(entry, where)
    return models


def available_versions(model: ModelConfig) -> tuple[int, ...]:
    """The versions that the config asks for and that lie in the base path, rising.

    A version is there once its saved_model.pb is: a publisher copies that file last. Raises
    OSError when the base path cannot be read.
    """
    if model.versions is not None:
        plain = {number for number in model.versions if _present(model, str(number))}
        if len(plain) == len({*model.versions}):  # the folder's other names need not be read
            return tuple(sorted(plain))
        return tuple(sorted(plain | (_folders(model).keys() & {*model.versions})))
    ranked = sorted(_folders(model))
    return tuple(ranked if model.latest is None else ranked[-model.latest :])


def folder(model: ModelConfig, version: int) -> epath.Path:
    """Where a version lies: its number, perhaps with zeros in front, as in 00000123."""
    if _present(model, str(version)):
        return model.base_path / str(version)
    return model.base_path / _folders(model).get(version, str(version))


def _folders(model: ModelConfig) -> dict[int, str]:
    """Version → name of its folder. Of 01 and 1 it is 1: the last, as in TensorFlow Serving."""
    if not model.base_path.exists():
        return {}
    names = sorted(child.name for child in model.base_path.iterdir() if _NUMBER(child.name))
    found = {int(name): name for name in names if _present(model, name)}
    return {number: name for number, name in found.items() if number < 1 << 63}


def _present(model: ModelConfig, version: str) -> bool:
    return (model.base_path / version / "saved_model.pb").exists()


def _model(entry: model_server_config_pb2.ModelConfig, where: str) -> ModelConfig:
    if not entry.name:
        raise ServerError(f"{where} has a config without a name")
    label = f"{where}, model {entry.name!r}"
    old = entry.model_type == model_server_config_pb2.TENSORFLOW  # how it was once written
    if old and entry.model_platform:
        raise ServerError(
            f"{where}: Illegal setting both ModelServerConfig::model_type (deprecated) and"
            f" ModelServerConfig::model_platform, model name is {entry.name}"
        )
    if not (old or entry.model_platform):
        raise ServerError(
            f"{where}: Illegal setting neither ModelServerConfig::model_type (deprecated) nor"
            f" ModelServerConfig::model_platform, model name is {entry.name}; give"
            ' model_platform: "tensorflow"'
        )
    if not old and entry.model_platform != "tensorflow":
        raise ServerError(
            f'{label}: model_platform is {entry.model_platform!r}; this server runs "tensorflow"'
        )
    if not (entry.base_path.startswith("/") or "://" in entry.base_path):
        raise ServerError(
            f"{where}: Expected model {entry.name} to have an absolute path or URI; got"
            f" base_path()={entry.base_path}"
        )
    policy = entry.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific" and not policy.specific.versions:
        raise ServerError(f"{label}: model_version_policy.specific has no versions")
    return ModelConfig(
        name=entry.name,
        base_path=epath.Path(entry.base_path),
        versions=tuple(policy.specific.versions) if choice == "specific" else None,
        latest=None if choice == "all" else max(1, policy.latest.num_versions),
        labels=dict(entry.version_labels),
    )
