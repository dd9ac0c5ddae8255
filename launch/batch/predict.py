"""Recommendations for all histories of a source → one Parquet file."""

from __future__ import annotations

import pathlib
import shutil
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from podway.framework import progress
from podway.launch.batch import parts as files
from podway.launch.batch.source import Source
from podway.launch.loaded.engine import NO_FILTER, Filter
from podway.launch.loaded.error import require
from podway.launch.loaded.histories import Histories
from podway.launch.loaded.model import LoadedModel

pc: Any = pyarrow.compute  # which makes its functions when it is imported

PART = 8192
"""Histories of a part: what is lost at most when the process is killed."""


def predict(
    model: LoadedModel,
    source: Source,
    output: pathlib.Path,
    *,
    k: int,
    filter: Filter = NO_FILTER,
    part: int = PART,
) -> files.Made | None:
    """Writes the k best items of each history to a Parquet file, a row for each item.

    The rows are those of Recommendations.to_arrow, in the order of the source, and the lists those
    of LoadedModel.recommend. Killed and started again, it goes on where it was.

    Returns what was made; None where the file was there already.

    Raises RequestError: the model cannot answer this, or the file or its parts are of another
    question.
    """
    engine = model.engine
    engine.check(k, filtered=filter != NO_FILTER)
    filter.unknown(engine.items)
    total = source.total
    require(total > 0, "there is nobody to predict for")
    question = {
        "model": model.place.manifest.version,
        "kind": model.place.kind,
        "k": k,
        "allow": list(filter.allow),
        "deny": list(filter.deny),
        "part": part,
        "of": source.identity,
    }
    if files.answered(output, question):
        shutil.rmtree(output.with_name(f"{output.name}.parts"), ignore_errors=True)
        return None
    with (
        files.opened(output, question) as parts,
        progress.shown("predict", unit="user", total=total) as bar,
    ):
        number = 0
        for number, read in enumerate(source.parts(part)):
            first = number * part
            if not parts.is_done(number):
                parts.write(number, *_answer(model, read(), k, filter, first, source.given))
            bar.update(min(part, total - first))
        return parts.publish(number + 1)


def _answer(
    model: LoadedModel, histories: Histories, k: int, filter: Filter, first: int, given: bool
) -> tuple[pa.Table, int]:
    """The rows of histories, of which the first has this number, and how many have none."""
    filters = () if filter == NO_FILTER else [filter] * len(histories)
    found = model.answer(histories, k, filters)
    unanswerable = ~histories.answerable if given else np.zeros(len(histories), bool)
    found.items[unanswerable] = ""
    table = found.to_arrow()
    if found.users is None:
        numbers = pc.add(table["history"], first)
        table = table.set_column(0, "history", numbers)
    return table, int(unanswerable.sum())
