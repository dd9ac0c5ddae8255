"""Which config the server follows: its config file's, or one that a client has sent since.

A config that a client sends (ModelService.HandleReloadConfigRequest) replaces the file's, which is
left as it is. New versions in the base paths are found under either. The file's config comes back
once what the file says changes, or when the server is started anew.
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
from collections.abc import Callable, Mapping

from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from export.server import model_config
from export.server.error import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    UNKNOWN,
    RequestError,
    ServerError,
)
from export.server.model_config import ModelConfig
from export.server.models import Models, Version

State = get_model_status_pb2.ModelVersionStatus.State

_UNDER_WAY = (State.START, State.LOADING, State.UNLOADING)

Configs = Mapping[str, ModelConfig]
Wanted = dict[str, tuple[ModelConfig, tuple[int, ...]]]


class ConfigInForce:
    """The config that the server follows. Belongs to the event loop's thread."""

    def __init__(self, models: Models, read: Callable[[], Configs]):
        """`read` gives the config file's models, and raises ServerError when it cannot."""
        self._models = models
        self._read = read
        self._file: Configs | None = None
        self._current: Configs = {}
        self._lock = asyncio.Lock()

    async def look(self) -> Wanted:
        """What is wanted now: the config in force, and which of its versions there are.

        Raises:
          ServerError, OSError: the file, or a base path, cannot be read.
        """
        file = await asyncio.to_thread(self._read)
        if file != self._file:
            self._file = self._current = file
        return await asyncio.to_thread(_versions, self._current)

    async def follow(self) -> None:
        """Looks, and sets out towards what is wanted. Raises like `look`."""
        async with self._lock:
            self._models.update(await self.look())

    async def replace(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Follows this config; returns once what it newly wants is available.

        Raises:
          RequestError: the config cannot be used, and nothing has changed; or it is in force, but
            a version could not be loaded, or a model has none.
        """
        if not config.HasField("model_config_list"):
            raise RequestError(
                INVALID_ARGUMENT,
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only"
                " ModelConfigList is currently supported",
            )
        async with self._lock:
            try:
                configs = model_config.parse(config, "the config")
                wanted = await asyncio.to_thread(_versions, configs)
            except (ServerError, OSError) as error:
                raise RequestError(INVALID_ARGUMENT, str(error)) from error
            self._check_labels(configs)
            fresh = self._fresh(wanted)
            self._models.update(wanted)
            self._current = configs
            await self._settle(wanted, fresh)
            self._check_loaded(fresh)

    def _fresh(self, wanted: Wanted) -> dict[str, list[int]]:
        """Versions that do not serve yet, by model; [] for a model without any version."""
        fresh = {}
        for name, (_, numbers) in wanted.items():
            missing = [n for n in numbers if not self._serves(name, n)]
            if missing or not numbers:
                fresh[name] = missing
        return fresh

    async def _settle(self, wanted: Wanted, fresh: Mapping[str, list[int]]) -> None:
        """Returns once these versions are available or have failed."""
        pending = [(name, number) for name, numbers in fresh.items() for number in numbers]
        await asyncio.sleep(0)  # the loads begin
        while any(self._state(*version) in _UNDER_WAY for version in pending):
            await asyncio.sleep(0.01)
            self._models.update(wanted)  # one that was still unloading comes back after that
            await asyncio.sleep(0)

    def _check_loaded(self, fresh: Mapping[str, list[int]]) -> None:
        """Raises RequestError when one of these versions has failed."""
        failed = []
        for name, numbers in fresh.items():
            for number in numbers:
                if not self._serves(name, number):
                    version = self._version(name, number)
                    why = f" due to error: {version.error}" if version and version.error else ""
                    failed.append(f"{{{{name: {name} version: {number}}}{why}}}")
            if not numbers:
                failed.append(f"{{{{name: {name}}} due to error: no version in its base_path}}")
        if failed:
            raise RequestError(
                UNKNOWN,
                f"{len(failed)} model(s) did not become available: {{{', '.join(failed)}, }}",
            )

    def _check_labels(self, configs: Configs) -> None:
        """A label may only name a version that serves: it would lead requests astray."""
        for name, config in configs.items():
            for number in config.labels.values():
                if not self._serves(name, number):
                    raise RequestError(
                        FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {name}, which is"
                        " not currently available for inference",
                    )

    def _serves(self, name: str, number: int) -> bool:
        return self._state(name, number) == State.AVAILABLE

    def _state(self, name: str, number: int) -> int:
        version = self._version(name, number)
        return State.UNKNOWN if version is None else version.state

    def _version(self, name: str, number: int) -> Version | None:
        try:
            return self._models.status(name, number)[0]
        except RequestError:
            return None


def _versions(configs: Configs) -> Wanted:
    return {name: (m, model_config.available_versions(m)) for name, m in configs.items()}
