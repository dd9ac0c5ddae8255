"""What requests bring and get, against what the version that answers them has learned from.

Inputs are described as a dataset's features are (beam/statistics/) and compared by the same rules
(beam/statistics/drift.py): of histories their items, and how many there are; of rows, each column
that the dataset knows as numbers or by a vocabulary. Of the lists of a recommender it is said how
good they can be without anybody's opinion of them: unknown items, rows that are answered as one who
is new, empty lists, how popular and how diverse the items are, how the best scores lie.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from etils import epath

from podway.beam.check import described
from podway.beam.check.described import Described
from podway.beam.statistics import drift, statistics
from podway.export.server import pseudonym
from podway.framework.config.features import Categorical
from podway.framework.config.limits import Limits
from podway.framework.schema.fitted import read_transforms
from podway.framework.schema.schema import (
    FIRST_VALUE,
    OUT_OF_VOCABULARY,
    PADDING,
    Feature,
    Vocabulary,
)
from podway.launch.monitor import published
from podway.launch.monitor.alerts import catalogue
from podway.launch.monitor.alerts.catalogue import Samples, one
from podway.launch.monitor.data import judged
from podway.launch.monitor.requests import Request

HISTORY, ITEM, SCORE = "history", "item", "score"
HEAD = 0.01
"""Share of the catalogue that counts as popular: its items of most events in training."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LOWEST = float(np.finfo(np.float32).min)
Who = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a version has learned from.

    Attributes:
      dataset: its dataset.
      key: by which the log's values are hashed; b"": none is, or nobody has it.
    """

    dataset: Described
    key: bytes = b""

    def vocabulary(self, name: str) -> Vocabulary:
        """Of a feature."""
        return Vocabulary.read(self.dataset.directory / "vocabulary" / f"{name}.jsonl")

    def ids(self, vocabulary: Vocabulary, *, hashed: bool) -> dict[str, int]:
        """Value, as the log has it, → id."""
        if not hashed:
            return vocabulary.ids
        return {
            pseudonym.of(value.encode(), self.key): one for value, one in vocabulary.ids.items()
        }


def reference(workdir: epath.PathLike, model: str, version: int, key: bytes = b"") -> Reference:
    """Of a published version. Raises LineageError, ArtifactError and what `described.read` does."""
    return Reference(described.read(published.dataset(workdir, model, version)), key)


def of_version(who: Who, found: Sequence[Request], known: Reference, limits: Limits) -> Samples:
    """All metrics of the requests to one version; of which there is one or more."""
    times = [each.time for each in found]
    made = one(catalogue.LIVE_BEGIN, who, min(times)) + one(catalogue.LIVE_END, who, max(times))
    recommender = any(HISTORY in each.inputs for each in found)
    return made + (_of_histories if recommender else _of_rows)(who, found, known, limits)


# ---------------------------------------------------------------------------------- recommenders


def _of_histories(who: Who, found: Sequence[Request], known: Reference, limits: Limits) -> Samples:
    words = known.vocabulary(ITEM)
    counts, lengths = np.zeros(len(words), np.int64), []
    rows = fallback = values = unknown = 0
    for ids in _ids(found, HISTORY, known, words, inputs=True):
        rows += 1
        real = [each for each in ids if each != PADDING]
        strange = real.count(OUT_OF_VOCABULARY)
        values, unknown = values + len(real), unknown + strange
        fallback += strange == len(real)
        np.add.at(counts, real, 1)
        lengths.append(len(real))
    made = one(catalogue.LIVE_ROWS, who, rows)
    if not rows:
        return made
    made += one(catalogue.LIVE_FALLBACK, who, fallback / rows)
    if values:
        made += one(catalogue.LIVE_UNKNOWN, (*who, HISTORY), unknown / values)
    part = statistics.ids(counts, statistics.numbers(np.array(lengths, np.float64)))
    live = statistics.to_json(part, known.dataset.schema[ITEM], words)
    pairs = [(HISTORY, known.dataset.features("train").get(ITEM), live)]
    whole = known.dataset.features("test").get(ITEM) or known.dataset.features("train").get(ITEM)
    if whole and "lengths" in whole:
        pairs.append((f"{HISTORY} (length)", whole["lengths"], live["lengths"]))
    return made + _compared(who, pairs, limits) + _of_lists(who, found, known, words)


def _of_lists(who: Who, found: Sequence[Request], known: Reference, words: Vocabulary) -> Samples:
    order = sorted(range(FIRST_VALUE, len(words)), key=lambda row: -words.counts[row])
    popular = set(order[: max(1, math.ceil(HEAD * len(order)))])
    lists = empty = items = head = 0
    seen: set[int] = set()
    for ids in _ids(found, ITEM, known, words, inputs=False):
        real = [each for each in ids if each >= FIRST_VALUE]
        lists, empty = lists + 1, empty + (not real)
        items, head = items + len(real), head + sum(each in popular for each in real)
        seen.update(real)
    made: Samples = []
    if lists:
        made += one(catalogue.LIVE_EMPTY, who, empty / lists)
        made += one(catalogue.LIVE_COVERAGE, who, len(seen) / max(1, len(order)))
    if items:
        made += one(catalogue.LIVE_POPULAR, who, head / items)
    return made + _of_scores(who, found)


def _of_scores(who: Who, found: Sequence[Request]) -> Samples:
    rows = [row for each in found for row in each.outputs.get(SCORE, ()) if isinstance(row, list)]
    if not rows:
        return []
    invalid = sum(None in row for row in rows)
    made = one(catalogue.LIVE_INVALID, who, invalid / len(rows))
    best = [row[0] for row in rows if row and None not in row and row[0] > _LOWEST]
    if best:
        for share, value in zip(QUANTILES, np.quantile(best, QUANTILES).tolist(), strict=True):
            made += one(catalogue.LIVE_SCORE, (*who, f"{share:g}"), value)
    return made


def _ids(
    found: Sequence[Request], name: str, known: Reference, words: Vocabulary, *, inputs: bool
) -> Iterator[list[int]]:
    """The ids of each row of an input or output; PADDING for what is no value.

    Rows whose values are hashed by a key that is not there are left out.
    """
    tables = {False: known.ids(words, hashed=False)}
    if known.key:
        tables[True] = known.ids(words, hashed=True)
    for each in found:
        table = tables.get(name in each.hashed)
        if table is None:
            continue
        for row in (each.inputs if inputs else each.outputs).get(name, ()):
            yield [_id(value, table, len(words)) for value in row]


def _id(value: Any, table: dict[str, int], size: int) -> int:
    if isinstance(value, str):
        return table.get(value, OUT_OF_VOCABULARY) if value else PADDING
    ours = isinstance(value, int) and (value == PADDING or FIRST_VALUE <= value < size)
    return value if ours else OUT_OF_VOCABULARY


# ------------------------------------------------------------------------------------------ rows


def _of_rows(who: Who, found: Sequence[Request], known: Reference, limits: Limits) -> Samples:
    rows = sum(_rows_of(each) for each in found)
    made, pairs = one(catalogue.LIVE_ROWS, who, rows), []
    trained = known.dataset.features("train")
    for fitted in read_transforms(known.dataset.directory / "transform.json"):
        feature, reference = fitted.transform.name, trained.get(fitted.transform.name)
        if reference is None:
            continue
        column = fitted.transform.source
        values, hashed = _column(found, column if _has(found, column) else feature)
        if not values:
            continue
        schema = known.dataset.schema[feature]
        if reference["kind"] == "number" and not hashed:
            part = statistics.numbers(np.array([_number(each) for each in values]))
            pairs.append((feature, reference, statistics.to_json(part, schema)))
        elif fitted.vocabulary and isinstance(fitted.transform, Categorical):
            if hashed and not known.key:
                continue
            words = known.vocabulary(fitted.vocabulary)
            live = _of_words(
                values, fitted.transform, known.ids(words, hashed=hashed), words, schema
            )
            present = max(1, live["count"] - live["missing"])
            made += one(
                catalogue.LIVE_UNKNOWN, (*who, feature), live["out_of_vocabulary"] / present
            )
            pairs.append((feature, reference, live))
    return made + _compared(who, pairs, limits)


def _of_words(
    values: Sequence[Any],
    transform: Categorical,
    table: dict[str, int],
    words: Vocabulary,
    schema: Feature,
) -> dict[str, Any]:
    """Statistics of a column of texts. A list counts as one row: its parts are not independent."""
    lengths = None
    if transform.many:
        lists = [[part for part in _parts(each, transform.separator) if part] for each in values]
        lengths = statistics.numbers(np.array([len(each) for each in lists], np.float64))
        texts = [part for each in lists for part in each]
    else:
        texts = ["" if each is None else each for each in values]
    ids = np.array([_id(text, table, len(words)) for text in texts], np.int64)
    part = statistics.ids(np.bincount(ids, minlength=len(words)), lengths)
    return statistics.to_json(part, schema, words)


def _has(found: Sequence[Request], name: str) -> bool:
    return any(name in each.inputs for each in found)


def _rows_of(request: Request) -> int:
    return max((len(rows) for rows in request.inputs.values() if isinstance(rows, list)), default=0)


def _column(found: Sequence[Request], name: str) -> tuple[list[Any], bool]:
    """The value of an input in each row, and whether they are hashed.

    A feature of a tf.Example is a list: of one value, of none, or of a list's parts.
    """
    values: list[Any] = []
    for each in found:
        rows = each.inputs.get(name, ())
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, list) and len(row) < 2:
                values.append(row[0] if row else None)
            else:
                values.append(row)
    return values, any(name in each.hashed for each in found)


def _parts(value: Any, separator: str) -> list[str]:
    if isinstance(value, list):
        return [str(part) for part in value]
    return [] if value is None else str(value).split(separator)


def _number(value: Any) -> float:
    ours = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if ours else math.nan


def _compared(who: Who, pairs: Sequence[tuple[str, Any, Any]], limits: Limits) -> Samples:
    made: Samples = []
    unjudged = 0
    for feature, old, new in pairs:
        if not old:
            continue
        told = drift.compare(old, new, limits)
        unjudged += told.verdict == "unjudged"
        of = (*who, feature)
        made += judged(told, of, catalogue.LIVE_PSI, catalogue.LIVE_JS, catalogue.LIVE_DRIFT)
    return made + one(catalogue.LIVE_UNJUDGED, who, unjudged)
