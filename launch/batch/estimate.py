"""What a job will take, before it runs: measured on a few of its histories."""

from __future__ import annotations

import dataclasses
import os
import time

from podway.beam.engines.options import Dataflow, Engine, Flink, Local
from podway.framework.page import text
from podway.launch.batch import answer, source
from podway.launch.batch.job import Job
from podway.launch.loaded.histories import Histories
from podway.launch.loaded.model import LoadedModel

_TRIED = 512
"""Histories that are answered to learn how long it takes."""
_LENGTH = 20
"""Events of a history that stands for those of the dataset."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """Of some rows that were answered here, in this process."""

    rows_per_second: float
    bytes_per_row: float


def describe(model: LoadedModel, job: Job, engine: Engine) -> str:
    """The job, its size and time, as text; nothing is written."""
    found, done = measure(model, job), min(job.folder.done() * job.part, job.total)
    left = job.total - done
    workers = _workers(engine)
    seconds = left / found.rows_per_second / max(workers, 1)
    lines = [
        f"{job.what} of {job.total:,} {job.kind} by {model.place}",
        f"→ {job.folder.home}: {job.parts:,} parts of {job.part:,}, some"
        f" {text.size(int(found.bytes_per_row * job.total))}",
        f"done: {done:,}; to do: {left:,}",
        f"here, in one process: {found.rows_per_second:,.0f} a second",
        f"on {type(engine).__name__.lower()} with {workers} of such workers: about"
        f" {_duration(seconds)}, and the start of each (it loads the model)",
    ]
    if isinstance(engine, Dataflow):
        lines += _dataflow(job, engine)
    return "\n".join(lines)


def measure(model: LoadedModel, job: Job) -> Measured:
    """Answers some histories of frequent items twice: the first time compiles."""
    import numpy as np

    from podway.framework.schema.schema import FIRST_VALUE

    if job.kind == source.ITEMS:
        rows = source.OfItems(model.engine.items, FIRST_VALUE)
        tables = list(rows.parts(_TRIED))[:1]
    else:
        draw = np.random.default_rng(0)
        count = min(_TRIED, job.part)
        ids = draw.integers(FIRST_VALUE, len(model.engine.items.values), (count, _LENGTH))
        times = np.tile(np.arange(_LENGTH, dtype=np.int64), count) if model.engine.timed else None
        names = tuple(f"user {row}" for row in range(count))
        given = Histories(
            ids.astype(np.int32).ravel(), np.arange(count + 1) * _LENGTH, times, names
        )
        tables = [source.of_histories(given)]
    kind = job.kind if job.kind == source.ITEMS else source.HISTORIES
    tried = dataclasses.replace(job, kind=kind)
    answer.remember(model)
    answer.of_rows(tried, tables[0], 0)
    start = time.perf_counter()
    found, _ = answer.of_rows(tried, tables[0], 0)
    seconds = max(time.perf_counter() - start, 1e-6)
    rows = len(tables[0])
    return Measured(rows / seconds, found.nbytes / rows)


def _workers(engine: Engine) -> int:
    match engine:
        case Local():
            return min(engine.workers, os.cpu_count() or 1)
        case Flink():
            return engine.parallelism
        case Dataflow():
            return engine.max_workers
    return 1


def _dataflow(job: Job, engine: Dataflow) -> list[str]:
    from podway.framework.error import PodwayError
    from podway.launch.batch import pipeline

    options = pipeline.dataflow_options(job, engine).get_all_options(drop_default=True)
    lines = ["", "options", *(f"  --{name}={value}" for name, value in sorted(options.items()))]
    try:
        pipeline.check_reachable(job, engine)
    except PodwayError as error:
        lines += ["", f"before it can run: {error}"]
    return lines


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
