"""How a version is brought into memory, and how its signatures are queued."""

import dataclasses
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from etils import epath
from tensorflow.core.protobuf import config_pb2

from podway.export.server.batching import parameters as batching_parameters
from podway.export.server.batching.parameters import BatchingParameters
from podway.export.server.batching.queue import Batcher
from podway.export.server.metrics import Metrics
from podway.export.server.models import config as model_configs
from podway.export.server.models import warmup
from podway.export.server.models.config import ModelConfig
from podway.export.server.models.programs import Programs
from podway.export.server.runtime import servable as servables
from podway.export.server.runtime.servable import Servable

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


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A version that can serve: its model, and the queue of each signature.

    Its runs have threads of their own, so that no model waits for another's slow runs; the
    operating system shares the processors out.
    """

    servable: Servable
    batchers: dict[str, Batcher]
    runner: ThreadPoolExecutor

    async def drain(self) -> None:
        """Returns when no run is in progress: those too whose client has gone."""
        for batcher in self.batchers.values():
            await batcher.drain()

    def close(self) -> None:
        """Gives threads and memory back. No run may be in progress."""
        self.runner.shutdown()
        self.servable.close()


def load_version(
    model: ModelConfig, number: int, name: str, loading: Loading, metrics: Metrics
) -> Loaded:
    """Reads a version of a model and warms it. Raises ServerError."""
    return load(model_configs.folder(model, number), name, loading, metrics)


def load(directory: epath.Path, name: str, loading: Loading, metrics: Metrics) -> Loaded:
    """Reads a version and warms it. Raises ServerError."""
    with metrics.loading(str(directory)):
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
        metrics.warmed(str(directory), count, time.perf_counter() - start)
    log.info("%s: warmed by %d requests", name, count)
    # A signature has at most so many runs in progress; with several, they share the threads.
    threads = parameters.threads + parameters.large_threads
    runner = ThreadPoolExecutor(threads, thread_name_prefix=f"run {name}")
    batchers = {
        key: Batcher(signature, runner, parameters, metrics.queued)
        for key, signature in servable.signatures.items()
    }
    return Loaded(servable, batchers, runner)
