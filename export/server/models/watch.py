"""Follows the config file, and the versions that come and go in the models' base paths."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping

from etils import epath

from podway.export.server.error import ServerError
from podway.export.server.models import config
from podway.export.server.models.config import ModelConfig
from podway.export.server.models.manager import Models
from podway.export.server.options import ServerOptions
from podway.framework.error import PodwayError

log = logging.getLogger(__name__)

Configs = Mapping[str, ModelConfig]


class Watch:
    """What the server is asked to serve. Belongs to the event loop's thread, but for the files."""

    def __init__(self, options: ServerOptions, models: Models):
        self._options = options
        self._models = models
        self._configs: Configs = {}
        self._of_file: Configs = {}
        self._found: dict[str, tuple[int, ...]] = {}
        self._unread: dict[str, str] = {}
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Applies the config for the first time. Raises ServerError."""
        self._of_file = await asyncio.to_thread(configs, self._options)
        await self.apply(self._of_file)

    async def apply(self, wanted: Configs) -> dict[str, tuple[int, ...]]:
        """Sets out towards these models; returns which of their versions there are.

        Raises:
          ServerError, RequestError: they cannot be served so; what serves stays.
        """
        async with self._turn:
            found = await self._look(wanted)
            self._configs = wanted
            return found

    async def run(self) -> None:
        """Follows changes, for ever, or as long as the options say."""
        async with asyncio.TaskGroup() as group:
            if self._options.model_config_file and (
                seconds := self._options.model_config_file_poll_wait_seconds
            ):
                group.create_task(_every(seconds, self._read_file, "the last good config stays"))
            if seconds := self._options.file_system_poll_wait_seconds:
                group.create_task(_every(seconds, self._look_again, "what serves stays"))

    async def _read_file(self) -> None:
        found = await asyncio.to_thread(configs, self._options)
        if found != self._of_file:
            await self.apply(found)
            self._of_file = found

    async def _look_again(self) -> None:
        async with self._turn:
            await self._look(self._configs)

    async def _look(self, wanted: Configs) -> dict[str, tuple[int, ...]]:
        found = await asyncio.to_thread(self._versions, wanted)
        self._models.update(found)
        return {name: numbers for name, (_, numbers) in found.items()}

    def _versions(self, wanted: Configs) -> dict[str, tuple[ModelConfig, tuple[int, ...]]]:
        """What there is of each model; of one whose folder cannot be read, what there was."""
        found = {}
        for name, model in wanted.items():
            try:
                self._found[name] = config.available_versions(model)
                self._unread.pop(name, None)
            except OSError as error:
                if self._unread.get(name) != str(error):
                    self._unread[name] = str(error)
                    log.error("%s: base_path cannot be read, its versions stay: %s", name, error)
            found[name] = model, self._found.get(name, ())
        return found


def configs(options: ServerOptions) -> Configs:
    """The models that the config file, or --model_base_path, asks for. Raises ServerError."""
    if options.model_config_file:
        return config.read(options.model_config_file)
    path = options.model_base_path
    base_path = epath.Path(path if "://" in path else os.path.abspath(path))
    if not base_path.exists():
        raise ServerError(f"model_base_path {path} does not exist")
    return {options.model_name: ModelConfig(options.model_name, base_path)}


async def _every(seconds: float, act: Callable[[], Awaitable[None]], so: str) -> None:
    """Acts again and again; what goes wrong is said once, and changes nothing."""
    said = ""
    while True:
        await asyncio.sleep(seconds)
        try:
            await act()
            said = ""
        except (PodwayError, OSError) as error:
            if str(error) != said:
                said = str(error)
                log.error("%s; %s", said, so)
        except Exception:  # whatever it is, the next look may go well
            log.exception("could not look for changes; %s", so)
