"""A part of a job: who it is of → a table of answers, and one of who gets none."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from etils import epath

from podway.framework.schema.schema import FIRST_VALUE
from podway.launch.batch import source
from podway.launch.batch.job import Job
from podway.launch.loaded.engine import NO_FILTER, Filter, allowed
from podway.launch.loaded.histories import Histories
from podway.launch.loaded.model import LoadedModel, load

pc: Any = pyarrow.compute  # which makes its functions when it is imported
ITEMS = "items"
"""Of the metadata of a table of scores: the items that they are of, as a JSON list."""
_WHERE = ("split", "block", "row")
_UNKNOWN = "the model knows none of the items of the history"
_LOADED: dict[str, LoadedModel] = {}
"""What this process has loaded: a worker answers many parts."""


def remember(model: LoadedModel) -> None:
    """The process that plans a job may be the one that does it."""
    _LOADED[str(model.place.directory)] = model


def loaded(directory: str) -> LoadedModel:
    """A model, loaded once in a process."""
    if directory not in _LOADED:
        _LOADED[directory] = load(directory)
    return _LOADED[directory]


def answer(job: Job, number: int) -> tuple[pa.Table, pa.Table]:
    """The answers of a part, and its rejected rows."""
    return of_rows(job, job.folder.rows(number), number * job.part)


def of_rows(job: Job, rows: pa.Table, first: int) -> tuple[pa.Table, pa.Table]:
    """The same of any rows, of which the first has this number."""
    model = loaded(job.model)
    if job.kind == source.ITEMS:
        return _of_items(model, rows["item"].to_numpy()), source.rejected_rows([], [], "")
    histories = _histories(job, rows)
    without = np.zeros(len(histories), bool)
    if job.kind == source.HISTORIES:
        without = ~histories.answerable
    names = histories.names or (None,) * len(histories)
    places = np.flatnonzero(without)
    rejected = source.rejected_rows(places + first, [names[place] for place in places], _UNKNOWN)
    if job.what == "recommendations":
        return _recommendations(model, job, histories, without, first), rejected
    whose = _whose(histories, first)
    if job.what == "embeddings":
        table = pa.table(
            whose | {"embedding": fixed_lists(model.trained.user_embeddings(histories))}
        )
    else:
        chosen = _chosen(model, job)
        scores = fixed_lists(model.trained.scores(histories)[:, chosen])
        names = [model.items[place] for place in chosen]
        table = pa.table(whose | {"scores": scores}, metadata={ITEMS: json.dumps(names)})
    return table.filter(pa.array(~without)), rejected


def fixed_lists(vectors: np.ndarray) -> pa.Array:
    """A list of f32 for each row."""
    values = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, vectors.shape[1])


def _recommendations(
    model: LoadedModel, job: Job, histories: Histories, without: np.ndarray, first: int
) -> pa.Table:
    chosen = Filter(job.allow, job.deny)
    filters = () if chosen == NO_FILTER else [chosen] * len(histories)
    found = model.answer(histories, job.k, filters)
    found.items[without] = ""
    table = found.to_arrow()
    if found.users is None:
        table = table.set_column(0, "history", pc.add(table["history"], first))
    return table


def _whose(histories: Histories, first: int) -> dict[str, pa.Array]:
    if histories.names is None:
        return {"history": pa.array(np.arange(len(histories)) + first, pa.int64())}
    return {"user": pa.array(histories.names, pa.string())}


def _of_items(model: LoadedModel, ids: np.ndarray) -> pa.Table:
    table, places = model.trained.item_embeddings(), ids - FIRST_VALUE
    columns = {"item": pa.array(np.array(model.items, object)[places], pa.string())}
    columns |= {
        name: pa.array(texts[places], pa.string()) for name, texts in model.attributes.items()
    }
    return pa.table(columns | {"embedding": fixed_lists(table[places])})


def _chosen(model: LoadedModel, job: Job) -> np.ndarray:
    """Places of the items that may be recommended."""
    mask = allowed([Filter(job.allow, job.deny)], model.engine.items)[0]
    return np.flatnonzero(mask[FIRST_VALUE:])


def _histories(job: Job, rows: pa.Table) -> Histories:
    if job.kind == source.HISTORIES:
        return source.to_histories(rows)
    examples = _examples(job.dataset, loaded(job.model).engine.timed, job.targets)
    split, block, row = (rows[name].to_numpy().astype(np.int64) for name in _WHERE)
    return examples.read(split, block, row, tuple(rows["user"].to_pylist()))


@functools.lru_cache(maxsize=2)
def _examples(directory: str, timed: bool, targets: bool) -> Any:
    """The dataset's examples; who planned the job has checked their hashes."""
    from podway.framework import artifact
    from podway.framework.input.dataset import Dataset
    from podway.framework.schema.schema import Schema
    from podway.launch.loaded.users import Examples

    path = epath.Path(directory)
    manifest = artifact.read_manifest(path, "dataset")
    dataset = Dataset(path, manifest, Schema.read(path / "schema.json"))
    return Examples(dataset, timed=timed, targets=targets)
