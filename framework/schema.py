"""Schema and vocabularies: what the columns of a dataset mean. Pure Python.

A dataset's shards hold, per example (a user):

    train               user i32, item list<i32>, time list<i64>
    validation, test    the same as history, plus target i32, target_time i64

`item` is in the order of time, oldest first; events at the same time are in the order of their
items' text by UTF-8 bytes. `time` and `target_time` are microseconds since 1970 (UTC); where the
order of the raw rows stands for time, they are positions: (file << 40) + row. Ids are rows of the
feature's vocabulary; the first two rows are kept: PADDING, and OUT_OF_VOCABULARY for values that
the frequency cap dropped or that were never seen. Values follow by falling count, equal counts by
the value's UTF-8 bytes.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable

from etils import epath

from framework.error import PodwayError

PADDING = 0
OUT_OF_VOCABULARY = 1
FIRST_VALUE = 2

SPLITS = ("train", "validation", "test")


class SchemaError(PodwayError, ValueError):
    """A schema or vocabulary file that cannot be read; the message names the file and the line."""


@dataclasses.dataclass(frozen=True)
class Feature:
    """One column of the dataset's examples.

    Attributes:
      name: column name in the shards.
      role: "user", "item", "time", "target", "target_time", "feature" or "label".
      dtype: "int32", "int64" or "float32".
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
      counts: events with that id, in all splits together.
    """

    values: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def build(cls, counted: Iterable[tuple[str, int]], max_values: int | None = None):
        """A vocabulary of (value, count) pairs: falling count, ties by UTF-8 bytes, then capped."""
        ranked = sorted(counted, key=lambda row: (-row[1], row[0].encode()))
        kept, dropped = ranked[:max_values], ranked[max_values:] if max_values else []
        return cls(
            values=("", "", *(value for value, _ in kept)),
            counts=(0, sum(count for _, count in dropped), *(count for _, count in kept)),
        )

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
        """Writes one JSON array [value, count] a line; line = id."""
        encode = json.JSONEncoder(ensure_ascii=False).encode
        rows = zip(self.values, self.counts, strict=True)
        lines = (f"[{encode(value)}, {count}]" for value, count in rows)
        epath.Path(path).write_text("\n".join(lines) + "\n")

    @classmethod
    def read(cls, path: epath.PathLike) -> "Vocabulary":
        """Reads what `write` wrote. Raises SchemaError that names the line."""
        values, counts = [], []
        # Not splitlines(): it would also split at U+2028 and the like, inside a value.
        for number, line in enumerate(epath.Path(path).read_text().rstrip("\n").split("\n"), 1):
            try:
                value, count = json.loads(line)
            except ValueError as error:
                raise SchemaError(f"{path}, line {number}: not [value, count]: {error}") from error
            values.append(value)
            counts.append(count)
        return cls(tuple(values), tuple(counts))
