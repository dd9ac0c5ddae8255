"""Which versions of which models serve, and how that changes while requests run.

A new version is loaded and warmed beside the one that serves, and takes over in one step; the old
one is unloaded once its last request has been answered. A version that cannot be loaded or warmed
takes over from nothing: its status says why.
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from etils import epath
from tensorflow_serving.apis import get_model_status_pb2

from export.server import servable as servables
from export.server import warmup
from export.server.batching import Batcher
from export.server.error import (
    INVALID_ARGUMENT,
    NOT_FOUND,
    RequestError,
)
from export.server.metrics import Metrics
from export.server.model_config import ModelConfig
from export.server.servable import Servable

log = logging.getLogger(__name__)

State = get_model_status_pb2.ModelVersionStatus.State


@dataclasses.dataclass(eq=False)
class Version:
    """A version of a model, from its first mention to its end.

    Attributes:
      model: name of the model.
      number: the integer that names its folder.
      state: TensorFlow Serving's START, LOADING, AVAILABLE, UNLOADING or END.
      error: why it could not be loaded.
      servable: what runs, while it is AVAILABLE or UNLOADING.
      batchers: the queues of its signatures, by name.
      requests: how many are being answered.
    """

    model: str
    number: int
    state: int = State.START
    error: str = ""
    servable: Servable | None = None
    batchers: dict[str, Batcher] = dataclasses.field(default_factory=dict)
    requests: int = 0

    def __str__(self) -> str:
        return f"{self.model} version {self.number}"


@dataclasses.dataclass(eq=False)
class Model:
    """A model: what its config asks for, and the versions that there are."""

    config: ModelConfig
    wanted: frozenset[int] = frozenset()
    removed: bool = False
    versions: dict[int, Version] = dataclasses.field(default_factory=dict)

    def available(self) -> list[Version]:
        """The versions that serve, rising."""
        versions = sorted(self.versions.items())
        return [version for _, version in versions if version.state == State.AVAILABLE]


class Models:
    """All models of the server. Belongs to the event loop's thread; the loading does not."""

    def __init__(
        self,
        *,
        max_batch_rows: int,
        threads: int,
        on_change: Callable[[], None] = lambda: None,
    ):
        """Runs models in `threads` threads; calls `on_change` whenever a state has changed."""
        self.metrics = Metrics()
        self._models: dict[str, Model] = {}
        self._max_batch_rows = max_batch_rows
        self._threads = threads
        self._on_change = on_change
        self._runner = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._tasks: set[asyncio.Task] = set()

    # ------------------------------------------------------------------------------ requests

    @contextlib.contextmanager
    def lease(self, name: str, version: int | None = None, label: str = "") -> Iterator[Version]:
        """An available version, which stays loaded until the block ends. Raises RequestError."""
        found = self._find(name, version, label)
        found.requests += 1
        try:
            yield found
        finally:
            found.requests -= 1

    def status(self, name: str, version: int | None = None, label: str = "") -> list[Version]:
        """The versions of a model, or the one asked for. Raises RequestError."""
        model = self._models.get(name)
        versions = model.versions if model else {}
        if label:
            version = self._labelled(name, label)
        if version is not None:
            if version not in versions:
                raise RequestError(NOT_FOUND, f"Could not find version {version} of model {name}")
            return [versions[version]]
        if not versions:
            raise RequestError(NOT_FOUND, f"Could not find any versions of model {name}")
        return [versions[number] for number in sorted(versions)]

    def ready(self) -> bool:
        """Whether every model of the config has an available version."""
        return all(model.available() for model in self._models.values() if not model.removed)

    def _find(self, name: str, version: int | None, label: str) -> Version:
        if not name:
            raise RequestError(INVALID_ARGUMENT, "ModelSpec has no name specified.")
        if label:
            version = self._labelled(name, label)
        model = self._models.get(name)
        if version is None:
            if model and (available := model.available()):
                return available[-1]
            raise RequestError(NOT_FOUND, f"Servable not found for request: Latest({name})")
        found = model.versions.get(version) if model else None
        if found is None or found.state != State.AVAILABLE:
            raise RequestError(
                NOT_FOUND, f"Servable not found for request: Specific({name}, {version})"
            )
        return found

    def _labelled(self, name: str, label: str) -> int:
        model = self._models.get(name)
        if model is None or label not in model.config.labels:
            raise RequestError(INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
        return model.config.labels[label]

    # ------------------------------------------------------------------------------ changes

    def update(self, wanted: Mapping[str, tuple[ModelConfig, tuple[int, ...]]]) -> None:
        """Sets out towards these models and versions; returns at once.

        A version that failed is tried again only when it is asked for anew.
        """
        for name, (config, numbers) in wanted.items():
            model = self._models.setdefault(name, Model(config))
            fresh = set(numbers) - model.wanted
            leaving = {n for n, v in model.versions.items() if v.state == State.UNLOADING}
            model.config, model.removed = config, False
            model.wanted = frozenset(numbers) - leaving  # those are fresh at a later look
            for number in sorted(fresh):
                known = model.versions.get(number)
                if known is None or known.state == State.END:
                    self._begin(self._load(model, number))
        for name in self._models.keys() - wanted.keys():
            self._models[name].wanted, self._models[name].removed = frozenset(), True
        for model in self._models.values():
            self._retire(model)

    async def settle(self) -> None:
        """Returns when no version is being loaded or unloaded."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Unloads everything, after what is being answered."""
        self.update({})
        await self.settle()
        self._runner.shutdown()
        self._loader.shutdown()

    def _begin(self, change) -> None:
        task = asyncio.get_running_loop().create_task(change)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, model: Model, number: int) -> None:
        version = model.versions[number] = Version(model.config.name, number)
        directory = model.config.base_path / str(number)
        log.info("%s: loading %s", version, directory)
        self._enter(version, State.LOADING)
        loop = asyncio.get_running_loop()
        try:
            servable = await loop.run_in_executor(
                self._loader, _load_and_warm, directory, version, self.metrics
            )
        except Exception as error:  # whatever a foreign SavedModel may do, the server goes on
            version.error = str(error) or type(error).__name__
            log.error("%s: not served: %s", version, version.error)
            self._enter(version, State.END)
            return
        version.servable = servable
        version.batchers = {
            name: Batcher(
                signature,
                self._runner,
                rows=self._max_batch_rows,
                runs=self._threads,
                on_start=self.metrics.queued,
            )
            for name, signature in servable.signatures.items()
        }
        if number not in model.wanted:  # the config has changed its mind meanwhile
            await self._unload(version)
            return
        self._enter(version, State.AVAILABLE)
        log.info("%s: AVAILABLE", version)
        self._retire(model)

    def _retire(self, model: Model) -> None:
        """Unloads versions that are not wanted, once one that is wanted serves."""
        available = model.available()
        if model.removed or any(version.number in model.wanted for version in available):
            for version in available:
                if version.number not in model.wanted:
                    self._enter(version, State.UNLOADING)
                    self._begin(self._unload(version))

    async def _unload(self, version: Version) -> None:
        self._enter(version, State.UNLOADING)
        while version.requests:
            await asyncio.sleep(0.01)
        for batcher in version.batchers.values():  # runs whose client has gone
            await batcher.drain()
        servable, version.servable, version.batchers = version.servable, None, {}
        assert servable is not None
        await asyncio.get_running_loop().run_in_executor(self._loader, servable.close)
        log.info("%s: unloaded", version)
        self._enter(version, State.END)

    def _enter(self, version: Version, state: int) -> None:
        version.state = state
        self._on_change()


def _load_and_warm(directory: epath.Path, name: object, metrics: Metrics) -> Servable:
    with metrics.loading(str(directory)):
        servable = servables.load(directory)
    start = time.perf_counter()
    try:
        count = warmup.replay(servable)
    except BaseException:
        servable.close()
        raise
    if count:
        metrics.warmed(str(directory), count, time.perf_counter() - start)
    log.info("%s: warmed by %d requests", name, count)
    return servable
