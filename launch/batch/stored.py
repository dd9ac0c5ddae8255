"""Answers that are there → the online store, a part after the other, by Beam.

What is written is the same however often it is written: a run that was killed is given again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import operator
import pathlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import apache_beam
import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from podway.beam.engines import run as engines
from podway.beam.engines.options import Engine
from podway.beam.error import DataError
from podway.framework import artifact
from podway.framework.config import online
from podway.launch.batch import folder, pipeline
from podway.launch.batch.job import Job, What
from podway.launch.loaded.error import RequestError, require
from podway.online.store import answers, vectors
from podway.online.store.open import open_store
from podway.online.store.store import Store

_BATCH = 500
"""Values of one write."""
KINDS: dict[What, str] = {
    "recommendations": answers.LIST,
    "embeddings": vectors.VECTOR,
    "item-embeddings": vectors.ITEM_VECTOR,
}
"""What can be stored, and as what."""


@dataclasses.dataclass(frozen=True)
class Target:
    """Where answers are stored.

    Attributes:
      store: the config's.
      workdir: where the file of a store in a file lies.
      name: of the experiment.
      ttl: seconds until they expire; None: never.
    """

    store: online.Store
    workdir: str
    name: str
    ttl: float | None = None


class Unit(NamedTuple):
    """What is stored at once: a row group of a file."""

    path: str
    group: int


def check(what: What, named: bool) -> None:
    """Raises RequestError: such answers have no place in a store."""
    require(what in KINDS, f"--store keeps {', '.join(KINDS)}; --what is {what}")
    require(named, "--store keeps answers by user, and these histories have none; add a user each")


def store(job: Job, output: str | pathlib.Path, target: Target, engine: Engine) -> int:
    """Writes all answers to the store; how many values these are. Raises RequestError, OSError."""
    units = list(_units(job, output))
    with epath.Path(units[0].path).open("rb") as file:
        names = pq.read_schema(file).names
    check(job.what, "user" in names or "item" in names)
    runner, options = pipeline.runner_of(job, engine)
    graph = apache_beam.Pipeline(runner=runner, options=options)
    _ = (
        graph
        | "parts" >> apache_beam.Create(units, reshuffle=False)
        | "spread" >> apache_beam.Reshuffle()
        | "store" >> apache_beam.ParDo(_Store(job, target))
    )
    try:
        engines.execute(graph, engine, contextlib.nullcontext())
    except DataError as error:
        raise RequestError(str(error)) from None
    return sum(_count(unit, names) for unit in units)


class _Store(apache_beam.DoFn):
    """A part's answers → values in the store."""

    def __init__(self, job: Job, target: Target):
        self._job, self._target = job, target
        self._store: Store | None = None

    def setup(self) -> None:
        target = self._target
        with pipeline.carried():
            self._store = open_store(target.store, target.workdir, target.name)

    def process(self, element: Unit) -> None:
        assert self._store is not None
        kind, values = KINDS[self._job.what], _values(self._job, element)
        with pipeline.carried():
            while batch := dict(itertools.islice(values, _BATCH)):
                self._store.write(kind, batch, self._target.ttl)

    def teardown(self) -> None:
        if self._store is not None:
            self._store.close()


def _units(job: Job, output: str | pathlib.Path) -> Iterator[Unit]:
    """The parts: files of a folder, or row groups of one file."""
    if not str(output).endswith(".parquet"):
        manifest = artifact.read_manifest(job.folder.path, folder.KIND)
        paths = [file.path for file in manifest.files if file.path.startswith(f"{job.what}/")]
        yield from (Unit(str(job.folder.path / path), 0) for path in paths)
        return
    for group in range(pq.read_metadata(output).num_row_groups):
        yield Unit(str(output), group)


def _read(unit: Unit, columns: list[str] | None = None) -> pa.Table:
    with epath.Path(unit.path).open("rb") as file:
        opened = pq.ParquetFile(file)
        if unit.group >= opened.metadata.num_row_groups:  # a part without answers
            return opened.schema_arrow.empty_table()
        return opened.read_row_group(unit.group, columns)


def _count(unit: Unit, names: list[str]) -> int:
    if "rank" not in names:
        return len(_read(unit, names[:1]))
    return int((_read(unit, ["rank"])["rank"].to_numpy() == 1).sum())


def _values(job: Job, unit: Unit) -> Iterator[tuple[str, bytes]]:
    """Keys and what is stored of them."""
    table, model, created = _read(unit), job.question["model"], time.time()
    if job.what != "recommendations":
        whose = table["item" if job.what == "item-embeddings" else "user"].to_pylist()
        found = table["embedding"].combine_chunks()
        width = found.type.list_size
        rows = found.flatten().to_numpy().reshape(-1, width)
        for name, row in zip(whose, rows, strict=True):
            yield name, vectors.pack_vector(model, created, row)
        return
    columns = (table[name].to_pylist() for name in ("user", "item", "score"))
    for user, rows in itertools.groupby(zip(*columns, strict=True), key=operator.itemgetter(0)):
        yield user, answers.pack_list(model, created, [(item, score) for _, item, score in rows])
