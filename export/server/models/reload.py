"""ModelService.HandleReloadConfigRequest: a client's config takes the place of the config file's.

It holds until what the file says changes, or the server is started anew; the file is left as it is.
New versions in the base paths are found under either (export/server/models/watch.py).
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
from collections.abc import Mapping

from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from podway.export.server.error import INVALID_ARGUMENT, UNKNOWN, RequestError, ServerError
from podway.export.server.models.config import parse
from podway.export.server.models.manager import Models, Version
from podway.export.server.models.rights import Rights
from podway.export.server.models.watch import Watch

State = get_model_status_pb2.ModelVersionStatus.State

_UNDER_WAY = (State.START, State.LOADING, State.UNLOADING)

Numbers = Mapping[str, tuple[int, ...]]
"""Versions by model."""


async def reload(
    watch: Watch,
    models: Models,
    config: model_server_config_pb2.ModelServerConfig,
    rights: Rights,
) -> None:
    """Follows this config; returns once what it wants is available.

    Raises:
      RequestError: the config cannot be used, or has a model that lies elsewhere, and nothing has
        changed; or it is in force, but a version could not be loaded, or a model has none.
    """
    if not config.HasField("model_config_list"):
        raise RequestError(
            INVALID_ARGUMENT,
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only"
            " ModelConfigList is currently supported",
        )
    try:
        asked = parse(config, "the config")
        await asyncio.to_thread(rights.check, asked.values())
        wanted = await watch.apply(asked)
    except (ServerError, OSError) as error:
        raise RequestError(INVALID_ARGUMENT, str(error)) from error
    await asyncio.sleep(0)  # the loads begin
    while any(_state(models, *version) in _UNDER_WAY for version in _versions(wanted)):
        await asyncio.sleep(0.01)
    failed = [
        _failure(models, *version)
        for version in _versions(wanted)
        if _state(models, *version) != State.AVAILABLE
    ]
    for name, numbers in wanted.items():
        if not numbers:
            failed.append(f"{{{{name: {name}}} due to error: no version in its base_path}}")
    if failed:
        raise RequestError(
            UNKNOWN,
            f"{len(failed)} model(s) did not become available: {{{', '.join(failed)}, }}",
        )


def _versions(wanted: Numbers) -> list[tuple[str, int]]:
    return [(name, number) for name, numbers in wanted.items() for number in numbers]


def _failure(models: Models, name: str, number: int) -> str:
    version = _version(models, name, number)
    why = f" due to error: {version.error}" if version and version.error else ""
    return f"{{{{name: {name} version: {number}}}{why}}}"


def _state(models: Models, name: str, number: int) -> int:
    version = _version(models, name, number)
    return State.UNKNOWN if version is None else version.state


def _version(models: Models, name: str, number: int) -> Version | None:
    try:
        return models.status(name, number)[0]
    except RequestError:
        return None
