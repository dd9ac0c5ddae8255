"""How a version is brought into memory, and how its signatures are queued."""

import contextlib
import dataclasses
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from etils import epath
from tensorflow.core.protobuf import config_pb2

from podway.export.server.batching import parameters as batching_parameters
from podway.export.server.batching.parameters import BatchingParameters
from podway.export.server.batching.queue import Batcher
from podway.export.server.error import ServerError
from podway.export.server.metrics import Metrics
from podway.export.server.models import config as model_configs
from podway.export.server.models import warmup
from podway.export.server.models.config import ModelConfig
from podway.export.server.models.programs import Programs
from podway.export.server.runtime import servable as servables
from podway.export.server.runtime.servable import Servable
from podway.export.signature import signed
from podway.export.signature.minisign import PublicKey
from podway.framework.error import PodwayError

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Loading:
    """What holds for the versions of every model.

    Attributes:
      batching: how requests are merged into batches.
      per_model_batching: whether a version's own batching_params.pbtxt takes the place of
        `batching`, but for the threads.
      warmup: whether a version replays its warm-up requests before it serves.
      retries: how often a version that fails is loaded again.
      retry_seconds: pause before that.
      load_threads: versions that are loaded at once.
      first_load_threads: the same of those that the server begins with.
      unload_threads: versions that are unloaded at once.
      labels_for_unavailable: whether a label that is not in use may be given to a version that is
        not available yet.
      session: TensorFlow's settings of a version's session; None: its own.
      programs: where what is compiled is kept; None: nowhere.
      key: by which a version has to be signed; None: by none.
    """

    batching: BatchingParameters = dataclasses.field(default_factory=BatchingParameters)
    per_model_batching: bool = False
    warmup: bool = True
    retries: int = 5
    retry_seconds: float = 60.0
    load_threads: int = 1
    first_load_threads: int = 1
    unload_threads: int = 1
    labels_for_unavailable: bool = False
    session: config_pb2.ConfigProto | None = None
    programs: Programs | None = None
    key: PublicKey | None = None


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A version that can serve: its model, the queue of each signature, and the files that are its
    own, if it was signed: a graph may read its assets as long as it runs.

    Its runs have threads of their own, so that no model waits for another's slow runs; the
    operating system shares the processors out.
    """

    servable: Servable
    batchers: dict[str, Batcher]
    runner: ThreadPoolExecutor
    copy: contextlib.ExitStack | None = None

    async def drain(self) -> None:
        """Returns when no run is in progress: those too whose client has gone."""
        for batcher in self.batchers.values():
            await batcher.drain()

    def close(self) -> None:
        """Gives threads and memory back. No run may be in progress."""
        self.runner.shutdown()
        self.servable.close()
        if self.copy is not None:
            self.copy.close()


def load_version(
    model: ModelConfig, number: int, name: str, loading: Loading, metrics: Metrics
) -> Loaded:
    """Reads a version of a model, checked first if it has to be signed, and warms it.

    Raises ServerError, OSError.
    """
    folder = model_configs.folder(model, number)
    if loading.key is None:
        return load(folder, folder, name, loading, metrics)
    with contextlib.ExitStack() as stack:
        place = f"{model.base_path.name}/{number}"
        try:
            copy = stack.enter_context(signed.copied(folder, place, loading.key))
        except PodwayError as error:
            raise ServerError(f"{folder}, by --verify_models_with: {error}") from error
        loaded = load(copy, folder, name, loading, metrics)
        return dataclasses.replace(loaded, copy=stack.pop_all())


def load(
    directory: epath.Path, path: epath.Path, name: str, loading: Loading, metrics: Metrics
) -> Loaded:
    """Reads a version, which metrics know by this path, and warms it. Raises ServerError."""
    with metrics.loading(str(path)):
        servable = servables.load(directory, loading.session)
    start = time.perf_counter()
    try:
        parameters = loading.batching
        if loading.per_model_batching:
            parameters = batching_parameters.of_model(
                directory, BatchingParameters().max_batch_size, parameters.threads
            )
        count = warmup.replay(servable) if loading.warmup else 0
    except BaseException:
        servable.close()
        raise
    if loading.programs:
        loading.programs.save()
    if count:
        metrics.warmed(str(path), count, time.perf_counter() - start)
    log.info("%s: warmed by %d requests", name, count)
    # A signature has at most so many runs in progress; with several, they share the threads.
    threads = parameters.threads + parameters.large_threads
    runner = ThreadPoolExecutor(threads, thread_name_prefix=f"run {name}")
    batchers = {
        key: Batcher(signature, runner, parameters, metrics.queued)
        for key, signature in servable.signatures.items()
    }
    return Loaded(servable, batchers, runner)
