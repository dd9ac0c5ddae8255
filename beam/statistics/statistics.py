"""Statistics of features: what each split of a dataset holds. NumPy alone; no Beam.

A part is Numbers or Ids of some rows. Parts merge to the part of all their rows, equal to the bit
whatever the division and the order, so shards can be described one by one.

statistics.json is {"format": 1, "splits": {split: {feature: …}}}. A feature of side tables stands
under "train", once for each user or item of the train split. A feature of numbers has

    kind          "number", "time" (microseconds) or "length" (of lists)
    count         rows or list elements, the missing ones included
    missing       of them
    min, max, mean, deviation (of the population), skewness, kurtosis (excess); null without numbers
    quantiles     share → number
    distinct      how many different numbers; `distinct_is` "exact" or "estimated" (± 1.6 %)
    top           [[number, count], …], most frequent first: those that are 1 % or more, 20 at most
    histogram     {"edges": [n + 1], "counts": [n]}, bins of one width
    sketch        all of them, for merging and comparing (see quantiles.py)
    registers     for `distinct` (see distinct.py), unless the sketch is exact

and a feature of ids

    kind          "ids"
    count, missing
    out_of_vocabulary   all buckets together
    distinct      values that occur; `distinct_is` "exact", or "at_least" where this was merged
                  from files that don't list all
    top           [[id, value, count], …], most frequent first, 1,000 at most; value null: unknown
    rest          {"count", "distinct", "occurrences", "buckets"} of all other values; `buckets`
                  are [10]: how often those occur that have one hash (see ids.py)
    occurrences   [n]: how many values occur 1, 2–3, 4–7, 8–15, … times
    lengths       of the lists, as a feature of numbers, where the feature is a list
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from podway.beam.error import DataError
from podway.beam.statistics import ids as id_statistics
from podway.beam.statistics import numbers as number_statistics
from podway.beam.statistics.ids import Ids
from podway.beam.statistics.numbers import Numbers
from podway.framework.schema.schema import Feature, Vocabulary

FORMAT = 1


def numbers(values: Any, counts: Any = None) -> Numbers:
    """Describes numbers, times (int64 microseconds) or lengths of lists.

    Args:
      values: [n]; NaN is missing, and what is beyond float32's range counts as its end.
      counts: how often each occurs, integers [n]; None: once.
    """
    return number_statistics.of(values, counts)


def ids(counts_by_id: np.ndarray, lengths: Numbers | None = None) -> Ids:
    """Describes ids: int64 [n], how often each of 0 … n − 1 occurs."""
    return id_statistics.of(counts_by_id, lengths)


def merge(parts: Sequence[Any]) -> Any:
    """The part of all rows of all parts, of which there must be one, and all of one kind."""
    if isinstance(parts[0], Numbers):
        return number_statistics.merge(parts)
    return id_statistics.merge(parts)


def to_json(
    part: Numbers | Ids, feature: Feature, vocabulary: Vocabulary | None = None
) -> dict[str, Any]:
    """A feature's statistics as plain JSON values.

    Args:
      part: all rows.
      feature: of the schema.
      vocabulary: of the ids, or its first VOCABULARY_ROWS rows; None: they have none.
    """
    if isinstance(part, Ids):
        return id_statistics.to_json(part, vocabulary)
    # Two floats are made of times only (features.Cyclical).
    time = feature.role in ("time", "target_time") or feature.shape == (2,)
    return number_statistics.to_json(part, "time" if time else "number")


def from_json(value: Mapping[str, Any]) -> Numbers | Ids:
    """The part that `to_json` was given; of ids, the listed ones, and the rest in sum."""
    if value["kind"] == "ids":
        return id_statistics.from_json(value)
    return number_statistics.from_json(value)


def write(path: epath.PathLike, splits: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes statistics.json: split → feature → what `to_json` returned."""
    content = {"format": FORMAT, "splits": splits}
    epath.Path(path).write_text(_lines(content, depth=4) + "\n")


def read(path: epath.PathLike) -> dict[str, dict[str, Any]]:
    """Reads what `write` wrote: split → feature → statistics. Raises DataError."""
    try:
        content = json.loads(epath.Path(path).read_text())
        found, splits = content["format"], content["splits"]
    except FileNotFoundError:
        raise DataError(f"there is no {path}; `podway data` writes it with a dataset") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no statistics; build the dataset again") from error
    if found != FORMAT:
        raise DataError(f"{path} has format {found}; this Podway reads format {FORMAT}")
    return splits


def _lines(value: Any, depth: int, indent: str = "") -> str:
    """JSON with a line for each entry of the outer objects; lists stay on one line."""
    if not depth or not isinstance(value, Mapping) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = f"{indent} "
    entries = [
        f"{inner}{json.dumps(name, ensure_ascii=False)}: {_lines(part, depth - 1, inner)}"
        for name, part in value.items()
    ]
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"
