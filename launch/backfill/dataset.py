"""What a dataset keeps of its events (beam/steps/stored.py), user by user.

All events, of all users: also those that the k-core left out. Such a user may come back, and such
an item is none that the model knows.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from podway.beam.steps import stored
from podway.framework import artifact
from podway.framework.config import Data
from podway.framework.error import check
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import FIRST_VALUE
from podway.online.backfill.materialize import Part
from podway.online.store.history import Entry, History

USERS = 20_000
"""Of a part: what a restart repeats at most."""


class Values:
    """The values behind a column's fingerprints.

    Args:
      directory: of the dataset.
      column: user or item.
    """

    def __init__(self, directory: str, column: str):
        tables = [
            stored.read(path) for (name, _), path in stored.values(directory) if name == column
        ]
        table = pa.concat_tables(tables)
        found = table["fingerprint"].to_numpy()
        order = np.argsort(found)
        self._fingerprints = found[order]
        self._values = table["value"].combine_chunks().take(pa.array(order))

    def of(self, fingerprints: np.ndarray) -> pa.Array:
        """The values, in order."""
        return self._values.take(pa.array(np.searchsorted(self._fingerprints, fingerprints)))


def check_histories(data: Data, directory: str) -> None:
    """Raises ConfigError where a dataset has no histories of users with times."""
    check(
        not data.columns.absent,
        f"data.columns has no {', '.join(data.columns.absent)}, and a history has items, each with"
        " a time, of a user: name the column",
    )
    check(
        any(True for _ in stored.events(directory)),
        f"{directory} keeps no events: build it with --data.extendable",
    )


def parts(directory: str, most: int, users: int = USERS) -> Iterator[Part]:
    """All users of a dataset, with their latest `most` events.

    Args:
      directory: of the dataset, which is extendable.
      most: events of a user.
      users: of a part.
    """
    names = Values(directory, "user")
    items = Values(directory, "item")
    for bucket, path in sorted(stored.events(directory)):
        table = stored.read(path)
        user = table["user"].combine_chunks()
        starts = np.flatnonzero(np.diff(user.indices.to_numpy(), prepend=-1))
        ends = np.append(starts[1:], len(table))
        for first in range(0, len(starts), users):
            mine = slice(first, first + users)
            read = functools.partial(_read, table, starts[mine], ends[mine], names, items, most)
            yield Part(f"{bucket}/{first}", int(ends[mine][-1] - starts[mine][0]), read)


def _read(
    table: pa.Table,
    starts: np.ndarray,
    ends: np.ndarray,
    names: Values,
    items: Values,
    most: int,
) -> Iterator[tuple[str, History]]:
    user, item = table["user"].combine_chunks(), table["item"].combine_chunks()
    places = user.indices.to_numpy()[starts]
    texts = names.of(user.dictionary.to_numpy()[places]).to_pylist()
    known = items.of(item.dictionary.to_numpy()).to_pylist()
    codes, times = item.indices.to_numpy(), table["time"].to_numpy()
    for name, start, end in zip(texts, starts.tolist(), ends.tolist(), strict=True):
        start = max(start, end - most)
        both = zip(times[start:end].tolist(), codes[start:end].tolist(), strict=True)
        yield name, History(tuple(Entry(time, known[code]) for time, code in both))


def events(directory: str) -> int:
    """How many are kept."""
    report = artifact.read_manifest(directory, "dataset").details["report"]
    return report["kept"] + report["filtered"].get("k-core", 0)


def items(dataset: Dataset) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Items and the columns that the dataset keeps of them as text, without those that are
    missing; nothing where it keeps none."""
    columns = dataset.attributes("item")
    if not columns:
        return
    values = dataset.vocabulary("item").values
    for id in range(FIRST_VALUE, len(values)):
        found = {name: column[id] for name, column in columns.items()}
        yield values[id], {name: text for name, text in found.items() if text}
