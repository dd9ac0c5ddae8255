"""Which versions of which models serve, and how that changes while requests run.

A new version is loaded and warmed beside the one that serves, and takes over in one step; the old
one is unloaded once its last request has been answered. A version that cannot be loaded or warmed
takes over from nothing: it is tried again some times, and then its status says why.
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tensorflow_serving.apis import get_model_status_pb2

from podway.export.server import quality, request_log
from podway.export.server.batching.queue import Batcher
from podway.export.server.error import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNAVAILABLE,
    RequestError,
)
from podway.export.server.limits import Limits
from podway.export.server.metrics import Metrics
from podway.export.server.models import loader
from podway.export.server.models.config import ModelConfig
from podway.export.server.models.loader import Loaded, Loading
from podway.export.server.runtime.servable import Servable, Signature

log = logging.getLogger(__name__)

UNKNOWN_MODEL = "unknown"
"""What the metrics call every model that there is not."""

State = get_model_status_pb2.ModelVersionStatus.State


@dataclasses.dataclass(eq=False)
class Version:
    """A version of a model, from its first mention to its end.

    Attributes:
      model: name of the model.
      number: the integer that names its folder.
      state: TensorFlow Serving's START, LOADING, AVAILABLE, UNLOADING or END.
      error: why it could not be loaded; while it is LOADING, the last time that it was tried.
      loaded: what runs, while it is AVAILABLE or UNLOADING.
      requests: how many are being answered.
    """

    model: str
    number: int
    state: int = State.START
    error: str = ""
    loaded: Loaded | None = None
    requests: int = 0

    @property
    def servable(self) -> Servable | None:
        """The model, while it is AVAILABLE or UNLOADING."""
        return self.loaded and self.loaded.servable

    @property
    def batchers(self) -> dict[str, Batcher]:
        """The queues of its signatures, by name."""
        return self.loaded.batchers if self.loaded else {}

    def __str__(self) -> str:
        return f"{self.model} version {self.number}"


@dataclasses.dataclass(eq=False)
class Model:
    """A model: what its config asks for, and the versions that there are.

    Attributes:
      config: what is asked for.
      wanted: the versions that the config asks for and that there are.
      removed: whether it is in the config no more.
      served: whether a version of it was ever available.
      versions: by number, also those that have ended.
      retries: when a version that failed is tried again.
    """

    config: ModelConfig
    wanted: frozenset[int] = frozenset()
    removed: bool = False
    served: bool = False
    versions: dict[int, Version] = dataclasses.field(default_factory=dict)
    retries: dict[int, asyncio.TimerHandle] = dataclasses.field(default_factory=dict)

    def available(self) -> list[Version]:
        """The versions that serve, rising."""
        versions = sorted(self.versions.items())
        return [version for _, version in versions if version.state == State.AVAILABLE]

    def coming(self, number: int | None) -> bool:
        """Whether a request for this version, or (None) for any, would be answered later on.

        So it is until a first version serves: TensorFlow Serving does not listen before that.
        """
        asked = self.wanted if number is None else self.wanted & {number}
        known = [self.versions.get(each) for each in asked]
        under_way = (State.START, State.LOADING)
        return not self.served and any(not each or each.state in under_way for each in known)


class Models:
    """All models of the server. Belongs to the event loop's thread; the loading does not."""

    def __init__(
        self,
        how: Loading | None = None,
        *,
        on_change: Callable[[], None] = lambda: None,
        log: Callable[[Metrics], request_log.Writer] | None = None,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
    ):
        """Calls `on_change` whenever a state has changed. `log` begins a log of requests.

        The `limits` are those of the requests that ask for the models.
        """
        self.metrics = Metrics()
        self.limits = limits
        self._log = log(self.metrics) if log else None
        self._models: dict[str, Model] = {}
        self._how = how = how or Loading()
        self._on_change = on_change
        self._configured = False
        self._loader = self._new_loader(how.first_load_threads)
        self._unloader = ThreadPoolExecutor(how.unload_threads, thread_name_prefix="unload")
        self._tasks: set[asyncio.Task] = set()

    # ------------------------------------------------------------------------------ requests

    @contextlib.contextmanager
    def lease(self, name: str, version: int | None = None, label: str = "") -> Iterator[Version]:
        """An available version, which stays loaded until the block ends. Raises RequestError."""
        found = self.find(name, version, label)
        found.requests += 1
        try:
            yield found
        finally:
            found.requests -= 1

    def find(self, name: str, version: int | None = None, label: str = "") -> Version:
        """An available version, which may be unloaded at any time. Raises RequestError."""
        if not name:
            raise RequestError(INVALID_ARGUMENT, "ModelSpec has no name specified.")
        if label:
            version = self._labelled(name, label)
        model = self._models.get(name)
        if version is None:
            if model and (available := model.available()):
                return available[-1]
            what = f"Servable not found for request: Latest({name})"
            raise self._not_found(name, None, what)
        found = model.versions.get(version) if model else None
        if found is None or found.state != State.AVAILABLE:
            what = f"Servable not found for request: Specific({name}, {version})"
            raise self._not_found(name, version, what)
        return found

    def status(self, name: str, version: int | None = None, label: str = "") -> list[Version]:
        """The versions of a model, or the one asked for. Raises RequestError."""
        model = self._models.get(name)
        versions = model.versions if model else {}
        if label:
            version = self._labelled(name, label)
        if version is not None:
            if version not in versions:
                what = f"Could not find version {version} of model {name}"
                raise self._not_found(name, version, what)
            return [versions[version]]
        if not versions:
            raise self._not_found(name, None, f"Could not find any versions of model {name}")
        return [versions[number] for number in sorted(versions)]

    def ready(self) -> bool:
        """Whether every model of the config has an available version."""
        return self._configured and not self.missing()

    def missing(self) -> list[str]:
        """The models of the config that have no available version."""
        models = self._models.items()
        return [name for name, model in models if not (model.removed or model.available())]

    def observe(
        self,
        version: Version,
        signature: Signature,
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
    ) -> None:
        """Takes note of what a request brought and got."""
        quality.count(self.metrics, version.model, version.number, signature, outputs)
        if self._log is not None:
            self._log.offer(version.model, version.number, signature, inputs, outputs)

    def answered(self, name: str, status: str) -> None:
        """Counts an answer. Names of no model count as one, lest those that clients make add up."""
        self.metrics.answered(name if name in self._models else UNKNOWN_MODEL, status)

    def _not_found(self, name: str, version: int | None, message: str) -> RequestError:
        """What says so, or that it is too early to say so."""
        if not self._configured:
            return RequestError(UNAVAILABLE, "the server reads its config; try again soon")
        model = self._models.get(name)
        if model is None or not model.coming(version):
            return RequestError(NOT_FOUND, message)
        failed = [each.error for each in model.versions.values() if each.error]
        why = f", after it failed: {failed[-1]}" if failed else "; try again soon"
        return RequestError(UNAVAILABLE, f"model {name} is being loaded{why}")

    def _labelled(self, name: str, label: str) -> int:
        model = self._models.get(name)
        if not self._configured:
            raise self._not_found(name, None, "")
        if model is None or label not in model.config.labels:
            raise RequestError(INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
        return model.config.labels[label]

    # ------------------------------------------------------------------------------ changes

    def update(self, wanted: Mapping[str, tuple[ModelConfig, tuple[int, ...]]]) -> None:
        """Sets out towards these models and versions; returns at once.

        A version that has failed for good is tried again only when it is asked for anew.

        Raises:
          RequestError: a label is for a version that does not serve; nothing changes.
        """
        for config, _ in wanted.values():
            self._check_labels(config)
        self._configured = True
        for name, (config, numbers) in wanted.items():
            model = self._models.setdefault(name, Model(config))
            fresh = set(numbers) - model.wanted
            model.config, model.wanted, model.removed = config, frozenset(numbers), False
            for number in sorted(fresh):
                known = model.versions.get(number)
                if known is None or known.state == State.END:
                    self._begin(self._load(model, number))
        for name in self._models.keys() - wanted.keys():
            self._models[name].wanted, self._models[name].removed = frozenset(), True
        for model in self._models.values():
            self._give_up(model)
            self._retire(model)

    async def settle(self) -> None:
        """Returns when no version is being loaded or unloaded, but for those that failed once."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def begun(self) -> None:
        """From now on as many versions are loaded at once as beside one that serves."""
        first, self._loader = self._loader, self._new_loader(self._how.load_threads)
        first.shutdown(wait=False)

    async def close(self) -> None:
        """Unloads everything, after what is being answered."""
        self.update({})
        await self.settle()
        self._loader.shutdown()
        self._unloader.shutdown()
        if self._how.programs is not None:  # of shapes that requests had and the warm-up had not
            await asyncio.to_thread(self._how.programs.save)
        if self._log is not None:
            await asyncio.to_thread(self._log.close)

    def _new_loader(self, threads: int) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(threads, thread_name_prefix="load")

    def _begin(self, change) -> None:
        task = asyncio.get_running_loop().create_task(change)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _check_labels(self, config: ModelConfig) -> None:
        """TensorFlow Serving's rule: a label is given to a version that serves already.

        Labels that stay as they are, and those of a model that is new, may wait for their version.
        """
        known = self._models.get(config.name)
        if known is None or known.removed:
            return
        available = {version.number for version in known.available()}
        for label, number in config.labels.items():
            before = known.config.labels.get(label)
            unused = before is None and self._how.labels_for_unavailable
            if number not in available and number != before and not unused:
                raise RequestError(
                    FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {config.name}, which is"
                    f" not currently available for inference: label {label!r}; ask for the"
                    " version first, and for its label once it serves"
                    + (
                        ""
                        if before is not None
                        else ", or start with --allow_version_labels_for_unavailable_models"
                    ),
                )

    async def _load(self, model: Model, number: int) -> None:
        version = model.versions[number] = Version(model.config.name, number)
        await self._try(model, version, self._how.retries)

    async def _try(self, model: Model, version: Version, retries: int) -> None:
        model.retries.pop(version.number, None)
        if version.number not in model.wanted:  # the config has changed its mind meanwhile
            self._enter(version, State.END)
            return
        log.info("%s: loading from %s", version, model.config.base_path)
        self._enter(version, State.LOADING)
        loop = asyncio.get_running_loop()
        try:
            version.loaded = await loop.run_in_executor(
                self._loader,
                loader.load_version,
                *(model.config, version.number, str(version), self._how, self.metrics),
            )
        except Exception as error:  # whatever a foreign SavedModel may do, the server goes on
            version.error = str(error) or type(error).__name__
            if retries and version.number in model.wanted:
                pause = self._how.retry_seconds
                log.warning("%s: tried again in %g s: %s", version, pause, version.error)
                again = functools.partial(self._try, model, version, retries - 1)
                model.retries[version.number] = loop.call_later(pause, lambda: self._begin(again()))
                return
            log.error("%s: not served: %s", version, version.error)
            self._enter(version, State.END)
            return
        version.error = ""
        if version.number not in model.wanted:
            await self._unload(model, version)
            return
        model.served = True
        self._enter(version, State.AVAILABLE)
        log.info("%s: AVAILABLE", version)
        self._retire(model)

    def _give_up(self, model: Model) -> None:
        """Ends the versions that would be tried again and are not wanted any more."""
        for number in model.retries.keys() - model.wanted:
            model.retries.pop(number).cancel()
            self._enter(model.versions[number], State.END)

    def _retire(self, model: Model) -> None:
        """Unloads versions that are not wanted, once one that is wanted serves."""
        available = model.available()
        if model.removed or any(version.number in model.wanted for version in available):
            for version in available:
                if version.number not in model.wanted:
                    self._enter(version, State.UNLOADING)
                    self._begin(self._unload(model, version))

    async def _unload(self, model: Model, version: Version) -> None:
        self._enter(version, State.UNLOADING)
        while version.requests:
            await asyncio.sleep(0.01)
        loaded = version.loaded
        assert loaded is not None
        await loaded.drain()
        version.loaded = None
        await asyncio.get_running_loop().run_in_executor(self._unloader, loaded.close)
        log.info("%s: unloaded", version)
        self._enter(version, State.END)
        if version.number in model.wanted:  # the config has changed its mind meanwhile
            await self._load(model, version.number)

    def _enter(self, version: Version, state: int) -> None:
        version.state = state
        self._on_change()
