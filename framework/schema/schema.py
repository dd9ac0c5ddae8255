"""Schema and vocabularies: what the columns of a dataset mean. Pure Python.

A dataset's shards hold, per example (a user):

    train               user i32, item list<i32>, time list<i64>
    validation, test    the same as history, plus target i32, target_time i64

and a list for each feature of the events, and of their weights where they have some (event_weight
f32). Where an example is an event (config.RowExamples), all
splits have user i32, item i32, time i64, and a value for each feature and label. Features of users
and items lie in features/user.arrow and features/item.arrow: Arrow IPC files of one record batch,
whose row is the id in the vocabulary (rows without a side table's row: as if all values were
missing).
What side tables keep as text (SideTable.keep) lies in attributes/user.parquet and
attributes/item.parquet: a column for each, row = id, "" where there is none.

`item` is in the order of time, oldest first; events at the same time are in the order of their
items' fingerprints (FarmHash Fingerprint64). `time` and `target_time` are microseconds since 1970
(UTC); where the order of the raw rows stands for time, they are positions: (file << 40) + row.

Ids are rows of the feature's vocabulary. The first two are kept: PADDING, and OUT_OF_VOCABULARY for
values that the frequency cap dropped or that the train split does not have. Values follow by
falling count in the train split, equal counts by fingerprint; last those with a count of 0, which
only a side table has (SideTable.catalogue). In an extension of a dataset, those that are new follow
the others (docs/datasets.md).
"""

import dataclasses
import functools
import itertools
import json
from collections.abc import Iterable, Iterator

from etils import epath

from podway.framework.error import PodwayError

EVENT_WEIGHT = "event_weight"
"""The column of the events' weights in the training loss, where a dataset has them: 0 for events
that are history only."""

PADDING = 0
OUT_OF_VOCABULARY = 1
FIRST_VALUE = 2

VOCABULARY_ROWS = 1 << 20
"""Lines in one file of a vocabulary."""

SPLITS = ("train", "validation", "test")


class SchemaError(PodwayError, ValueError):
    """A schema or vocabulary file that cannot be read; the message names the file and the line."""


@dataclasses.dataclass(frozen=True)
class Feature:
    """One column of the dataset's examples.

    Attributes:
      name: column name in the shards.
      role: "user", "item", "time", "target", "target_time", "weight", "feature" or "label".
      dtype: "int32", "int64", "uint8" or "float32".
      ragged: whether an example holds a list of values.
      vocabulary: name of the vocabulary that its ids are rows of, if any.
      size: number of ids, the two kept rows included; 0 without a vocabulary.
      max_length: the longest list in any split; 1 when not ragged.
      shape: of one value; () for a scalar.
      table: "events" for a column of the shards; "user" or "item" for one of features/TABLE.arrow,
        whose row is the id in that vocabulary.
    """

    name: str
    role: str
    dtype: str
    ragged: bool = False
    vocabulary: str | None = None
    size: int = 0
    max_length: int = 1
    shape: tuple[int, ...] = ()
    table: str = "events"


@dataclasses.dataclass(frozen=True)
class Schema:
    """The columns of a dataset, by name."""

    features: tuple[Feature, ...]

    def __getitem__(self, name: str) -> Feature:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise SchemaError(
            f"the dataset has no feature {name!r}; it has {[f.name for f in self.features]}"
        )

    def has(self, name: str) -> bool:
        """Whether there is such a feature."""
        return any(feature.name == name for feature in self.features)

    def write(self, path: epath.PathLike) -> None:
        """Writes schema.json."""
        rows = [dataclasses.asdict(feature) for feature in self.features]
        epath.Path(path).write_text(json.dumps({"features": rows}, indent=2) + "\n")

    @classmethod
    def read(cls, path: epath.PathLike) -> "Schema":
        """Reads schema.json. Raises SchemaError."""
        try:
            rows = json.loads(epath.Path(path).read_text())["features"]
            return cls(
                tuple(Feature(**{**row, "shape": tuple(row.get("shape", ()))}) for row in rows)
            )
        except (ValueError, KeyError, TypeError) as error:
            raise SchemaError(f"{path} is not a schema: {error}") from error


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The values of a feature, row = id. Rows 0 and 1 are PADDING and OUT_OF_VOCABULARY.

    Attributes:
      values: one per id; the two kept rows hold "" .
      counts: how often the train split has the value.
    """

    values: tuple[str, ...]
    counts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.values)

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Value → id, the kept rows left out."""
        return {value: row for row, value in enumerate(self.values) if row >= FIRST_VALUE}

    def id(self, value: str) -> int:
        """The id of a value, OUT_OF_VOCABULARY where it is unknown."""
        return self.ids.get(value, OUT_OF_VOCABULARY)

    def write(self, path: epath.PathLike) -> None:
        """Writes one JSON array [value, count] a line; line = id (see `vocabulary_file`)."""
        for number, start in enumerate(range(0, len(self), VOCABULARY_ROWS)):
            rows = slice(start, start + VOCABULARY_ROWS)
            lines = vocabulary_lines(self.values[rows], self.counts[rows])
            vocabulary_file(path, number).write_text("".join(lines))

    @classmethod
    def read(cls, path: epath.PathLike, rows: int | None = None) -> "Vocabulary":
        """Reads what `write` wrote, or the first rows of it. Raises SchemaError with the line."""
        values: list[str] = []
        counts: list[int] = []
        for file in _files(epath.Path(path)):
            with file.open() as lines:
                for line, text in enumerate(lines, 1):
                    if len(values) == rows:
                        return cls(tuple(values), tuple(counts))
                    try:
                        value, count = json.loads(text)
                    except ValueError as error:
                        raise SchemaError(
                            f"{file}, line {line}: not [value, count]: {error}"
                        ) from error
                    values.append(value)
                    counts.append(count)
        return cls(tuple(values), tuple(counts))


def values_of(path: epath.PathLike, ids: Iterable[int]) -> dict[int, str]:
    """The values of some ids of a vocabulary's file, without the others in memory."""
    found, wanted = {}, sorted({int(row) for row in ids})
    for number, rows in itertools.groupby(wanted, key=lambda row: row // VOCABULARY_ROWS):
        rows = {row % VOCABULARY_ROWS: row for row in rows}
        with vocabulary_file(path, number).open() as lines:
            for line, text in enumerate(itertools.islice(lines, max(rows) + 1)):
                if line in rows:
                    found[rows[line]] = json.loads(text)[0]
    return found


def _files(path: epath.Path) -> Iterator[epath.Path]:
    yield path
    for number in itertools.count(1):
        if not (file := vocabulary_file(path, number)).exists():
            return
        yield file


def vocabulary_file(path: epath.PathLike, number: int) -> epath.Path:
    """File `number` of a vocabulary: NAME.jsonl, NAME.1.jsonl …, of VOCABULARY_ROWS lines each."""
    path = epath.Path(path)
    return path if number == 0 else path.with_name(f"{path.stem}.{number}.jsonl")


def vocabulary_lines(values: Iterable[str], counts: Iterable[int]) -> Iterator[str]:
    """The lines of a vocabulary's file."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    return (f"[{encode(value)}, {count}]\n" for value, count in zip(values, counts, strict=True))
