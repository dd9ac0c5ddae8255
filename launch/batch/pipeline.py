"""The Beam pipeline that answers all parts of a job, wherever the engine says."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

import apache_beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineRunner

from podway.beam.engines import run as engines
from podway.beam.engines.options import Dataflow, Engine
from podway.beam.error import DataError, portable
from podway.framework import progress
from podway.framework.error import PodwayError
from podway.launch.batch import answer
from podway.launch.batch.folder import Part
from podway.launch.batch.job import Job
from podway.launch.loaded.error import RequestError, require

_LOG = logging.getLogger(__name__)
_EVERY = {True: 0.2, False: 5.0}
"""Seconds between two looks at what is done: in a local folder, in a bucket."""
_UNITS = {"users": "user", "histories": "user", "items": "item"}
_left = threading.Event()


class Left(Exception):
    """The caller has gone, and a worker that still runs shall stop."""


def run(job: Job, engine: Engine) -> None:
    """Answers what is not there yet, and commits the folder. Raises RequestError, OSError."""
    runner, options = runner_of(job, engine)
    try:
        engines.execute(assemble(job, runner, options), engine, _shown(job))
    except DataError as error:  # as a worker's error crosses to here
        raise RequestError(str(error)) from None


def assemble(job: Job, runner: PipelineRunner, options: PipelineOptions) -> apache_beam.Pipeline:
    """Part numbers → parts in the folder → its manifest, by the pipeline itself: nobody may
    wait."""
    graph = apache_beam.Pipeline(runner=runner, options=options)
    _ = (
        graph
        | "parts" >> apache_beam.Create(range(job.parts), reshuffle=False)
        | "spread" >> apache_beam.Reshuffle()
        | "answer" >> apache_beam.ParDo(_Answer(job))
        | "all" >> apache_beam.CombineGlobally(apache_beam.combiners.ToListCombineFn())
        | "publish" >> apache_beam.ParDo(_Publish(job))
    )
    return graph


class _Answer(apache_beam.DoFn):
    """A part's number → what is there of it; it is made where it is not."""

    def __init__(self, job: Job):
        self._job = job

    def setup(self) -> None:
        with carried():
            answer.loaded(self._job.model)

    def process(self, element: int) -> Iterator[Part]:
        if _left.is_set():
            raise Left
        with carried():
            folder = self._job.folder
            yield folder.read(element) or folder.write(element, *answer.answer(self._job, element))


class _Publish(apache_beam.DoFn):
    """All parts → the manifest."""

    def __init__(self, job: Job):
        self._job = job

    def process(self, element: list[Part]) -> None:
        with carried():
            job = self._job
            job.folder.commit(job.question, job.name, job.inputs, element)


@contextlib.contextmanager
def carried() -> Iterator[None]:
    """In a worker: errors that a user can mend survive the way to the caller."""
    with portable():
        try:
            yield
        except PodwayError as error:
            raise DataError(str(error)) from error


def runner_of(job: Job, engine: Engine) -> tuple[PipelineRunner, PipelineOptions]:
    """What runs a pipeline of the job. Raises ConfigError, RequestError: it cannot."""
    if not isinstance(engine, Dataflow):
        return engines.runner_of(engine)
    from podway.beam.engines import dataflow  # needs the extra `gcs`

    check_reachable(job, engine)
    return dataflow.runner(), dataflow_options(job, engine)


def dataflow_options(job: Job, engine: Dataflow) -> PipelineOptions:
    """Beam's options of a job there."""
    from podway.beam.engines import dataflow

    name = dataflow.job_name(f"predict-{job.name}", job.inputs["model"])
    return dataflow.of_job(engine, name, f"{job.folder.home.rstrip('/')}-beam")


def check_reachable(job: Job, engine: Dataflow) -> None:
    """Raises RequestError where workers on Dataflow could not run, read or write."""
    require(bool(engine.project), "--project is missing; name the Google Cloud project that pays")
    require(
        bool(engine.image),
        "--image is missing; workers need Beam's image with podway[data,export]",
    )
    for what, place in (
        ("--output puts the answers at", job.folder.home),
        ("the model lies at", job.model),
        *((("its dataset lies at", job.dataset),) if job.kind == "users" else ()),
    ):
        require(
            place.startswith("gs://"),
            f"{what} {place}, which workers on Dataflow cannot reach; give a folder on gs://",
        )


@contextlib.contextmanager
def _shown(job: Job) -> Iterator[None]:
    """A bar of what is done, by whatever engine: parts are counted where they lie.

    Where the block is left by an exception, a worker of this process stops at its next part.
    """
    stop, every = threading.Event(), _EVERY["://" not in job.folder.home]
    _left.clear()

    def done() -> int:
        return min(job.folder.done() * job.part, job.total)

    before = done()
    with progress.shown("predict", unit=_UNITS[job.kind], total=job.total, done=before) as bar:

        def watch() -> None:
            while not stop.wait(every):
                with contextlib.suppress(OSError):
                    bar.update(max(done() - bar.n, 0))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except BaseException:
            _left.set()
            raise
        finally:
            stop.set()
            watcher.join()
            bar.update(max(done() - bar.n, 0))
