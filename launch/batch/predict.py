"""Answers for all of a source → a folder of Parquet files, or one file."""

from __future__ import annotations

import pathlib
import shutil
from typing import NamedTuple

from podway.beam.engines.options import Engine, Local
from podway.framework import artifact
from podway.framework.schema.schema import FIRST_VALUE
from podway.launch.batch import answer, joined, source
from podway.launch.batch.folder import KIND, Folder
from podway.launch.batch.job import PART, Job, What, part_rows
from podway.launch.batch.source import Source
from podway.launch.loaded.engine import NO_FILTER, Filter
from podway.launch.loaded.error import require
from podway.launch.loaded.model import LoadedModel


class Made(NamedTuple):
    """What was made.

    Attributes:
      rows: of the answers.
      unanswered: histories without an item that the model knows, which have none.
      unknown: users who were asked for, and are not in the dataset.
    """

    rows: int
    unanswered: int
    unknown: int


def planned(
    model: LoadedModel,
    of: Source,
    output: str | pathlib.Path,
    *,
    what: What = "recommendations",
    k: int = 10,
    filter: Filter = NO_FILTER,
    part: int = PART,
) -> Job:
    """The job, before anything is written. Raises RequestError: the model cannot answer this."""
    engine = model.engine
    if what == "recommendations":
        engine.check(k, filtered=filter != NO_FILTER)
    else:
        _ = model.trained  # raises where there is none
    filter.unknown(engine.items)
    require(of.total > 0, "there is nobody to predict for")
    items = len(engine.items.values) - FIRST_VALUE
    part = part_rows(what, items, part)
    question = {
        "model": model.place.manifest.version,
        "kind": model.place.kind,
        "what": what,
        "k": k if what == "recommendations" else 0,
        "allow": list(filter.allow),
        "deny": list(filter.deny),
        "part": part,
        "of": of.identity,
    }
    home = str(output)
    if home.endswith(".parquet"):
        home = str(joined.beside(pathlib.Path(output)))
    dataset = model.place.dataset()
    return Job(
        model=str(model.place.directory),
        dataset="" if dataset is None else str(dataset),
        folder=Folder(home, what),
        question=question,
        what=what,
        k=k,
        allow=tuple(filter.allow),
        deny=tuple(filter.deny),
        kind=of.kind,
        targets=isinstance(of, source.OfUsers) and of.targets,
        part=part,
        total=of.total,
        name=model.place.name,
        inputs={"model": model.place.manifest.version, **model.place.manifest.inputs},
    )


def predict(
    model: LoadedModel,
    of: Source,
    output: str | pathlib.Path,
    *,
    what: What = "recommendations",
    k: int = 10,
    filter: Filter = NO_FILTER,
    part: int = PART,
    engine: Engine | None = None,
) -> Made | None:
    """Answers all of a source: a folder of parts with a manifest, or one .parquet file.

    Lists of recommendations have a row for each item, as Recommendations.to_arrow makes them, in
    the order of the source, and are those of LoadedModel.recommend. Killed and started again, it
    goes on where it was.

    Args:
      model: a run, or a published model.
      of: who is asked for.
      output: folder, local or on gs://; or a local file that ends in .parquet.
      what: recommendations, scores of all items, embeddings of users, or those of items.
      k: items of a list.
      filter: items to choose from, and to leave out.
      part: rows of a part, at most.
      engine: where it runs; None: in this process.

    Returns what was made; None where it was there already.

    Raises RequestError: the model cannot answer this, or what is there is of another question.
    """
    job = planned(model, of, output, what=what, k=k, filter=filter, part=part)
    folder, file = job.folder, pathlib.Path(output) if str(output).endswith(".parquet") else None
    if file is not None and joined.answered(file, job.question):
        shutil.rmtree(folder.home, ignore_errors=True)
        return None
    manifest = folder.committed(job.question)
    if manifest is not None and file is None:
        folder.tidy()
        return None
    with folder.held():
        manifest = folder.committed(job.question)  # another process may have been quicker
        if manifest is None:
            if not folder.begin(job.question):
                folder.plan(job.question, job.total, of.parts(job.part), of.rejected)
            _run(model, job, engine or Local())
            manifest = artifact.read_manifest(folder.path, KIND)  # hashed a moment ago
        if file is not None:
            joined.join(folder, file, manifest)
            shutil.rmtree(folder.home)
        else:
            folder.tidy()
    details = manifest.details
    return Made(details["rows"], details["unanswered"], details["unknown"])


def _run(model: LoadedModel, job: Job, engine: Engine) -> None:
    from podway.launch.batch import pipeline  # Beam takes seconds

    answer.remember(model)
    pipeline.run(job, engine)
