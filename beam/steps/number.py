"""What the train split says: vocabularies, numbered in parts, and fitted transforms."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam
import numpy as np
import polars as pl
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput
from etils import epath

from podway.beam.error import portable
from podway.beam.features import fit
from podway.beam.statistics import alike
from podway.beam.steps import codes, facts, grow, stored, vocabulary
from podway.beam.steps.chunk import Chunk
from podway.framework.config import Data
from podway.framework.schema.fitted import FittedTransform
from podway.framework.schema.schema import (
    FIRST_VALUE,
    OUT_OF_VOCABULARY,
    VOCABULARY_ROWS,
    Feature,
    Schema,
)
from podway.framework.schema.schema import Vocabulary as Words

Key = tuple[str, int]
"""A feature, and a part of its values (see codes.py)."""

Learnt = tuple[FittedTransform, Feature]


class Distinct(apache_beam.DoFn):
    """(key, Chunks) → (key, Chunk of all distinct fingerprint and value); they are stored, too."""

    def __init__(self, data: Data, stage: str):
        self._data, self._stage = data, stage

    def process(self, element: tuple[Key, Iterable[Chunk]]) -> Iterator[tuple[Key, Chunk]]:
        """One part."""
        key, chunks = element
        with portable():
            table = codes.distinct(chunks)
            if self._data.extendable:
                stored.write_values(self._stage, *key, table)
        yield key, Chunk(table)


class Known(apache_beam.DoFn):
    """(key, values, counts, ids) → (key, Chunk of fingerprint, value, count) of what is in train.

    Tagged outputs: "histograms": vocabulary.Histogram; of text features instead of both "states":
    (feature, what fit.observe says). Values that have ids already are not among them, but,
    in train or not, have the tags "index" and "rows", as Number's have.
    """

    def __init__(self, data: Data):
        self._features = {feature.name: feature for feature in data.features}

    def process(self, element: tuple[Key, dict[str, Iterable[Chunk]]]) -> Iterator[Any]:
        """One part."""
        (name, part), found = element
        counts = codes.add_up(found["counts"])
        values = pl.concat([pl.DataFrame(chunk.table()) for chunk in found["values"]])
        known = counts.join(values, on="fingerprint", maintain_order="left")
        if name in self._features:
            state = fit.observe(
                self._features[name], plain(known["value"]), known["count"].to_numpy()
            )
            yield TaggedOutput("states", (name, state))
            return
        if ids := [pl.DataFrame(chunk.table()) for chunk in found.get("ids", ())]:
            old = pl.concat(ids).join(values, on="fingerprint").sort("fingerprint")
            old = old.join(counts, on="fingerprint", how="left").fill_null(0)
            yield TaggedOutput("index", (name, Chunk(old.select("fingerprint", "id").to_arrow())))
            for rows in _rows(name, old):
                yield TaggedOutput("rows", rows)
            known = known.join(old, on="fingerprint", how="anti").sort("fingerprint")
        yield (name, part), Chunk(known.to_arrow())
        histogram = vocabulary.histogram(name, part, known["count"].to_numpy())
        yield TaggedOutput("histograms", histogram)


class Number(apache_beam.DoFn):
    """(key, known values) → (feature, Chunk of fingerprint and id).

    Tagged output "rows": ((feature, file), Chunk of id, value and count): the vocabulary's. Ids
    follow those of the dataset `base`, if there is one.
    """

    def __init__(self, data: Data, base: str | None):
        self._data, self._base = data, base
        self._taken = {"user": 0, "item": 0}

    def setup(self) -> None:
        """Looks how many ids are taken."""
        if self._base is not None:
            schema = Schema.read(epath.Path(self._base) / "schema.json")
            self._taken = {
                name: schema[name].size - FIRST_VALUE for name in self._taken if schema.has(name)
            }

    def process(
        self, element: tuple[Key, Chunk], histograms: Sequence[vocabulary.Histogram]
    ) -> Iterator[Any]:
        """One part."""
        (name, part), chunk = element
        known = pl.DataFrame(chunk.table())
        mine = [histogram for histogram in histograms if histogram.feature == name]
        cap = self._data.max_items if name == "item" else None
        counts = known["count"].to_numpy()
        ids = vocabulary.number(counts, part, mine, cap, self._taken[name])
        known = known.with_columns(id=ids)
        yield name, Chunk(known.select("fingerprint", "id").to_arrow())
        for rows in _rows(name, known):
            yield TaggedOutput("rows", rows)
        if part == min(histogram.part for histogram in mine):  # file 0 holds the kept rows
            kept = pl.DataFrame(
                {"id": [OUT_OF_VOCABULARY], "value": [""], "count": [0]},
                schema=known.select("id", "value", "count").schema,
            )
            yield TaggedOutput("rows", ((name, 0), Chunk(kept.to_arrow())))


def _rows(name: str, frame: pl.DataFrame) -> Iterator[tuple[Key, Chunk]]:
    """((feature, file), Chunk of id, value and count), divided as the vocabulary's files are."""
    rows = frame.select("id", "value", "count").with_columns(file=pl.col("id") // VOCABULARY_ROWS)
    for (file,), part in rows.partition_by("file", as_dict=True).items():
        yield (name, int(file)), Chunk(part.drop("file").to_arrow())


def gather(name: str, chunks: Iterable[Chunk]) -> tuple[str, Chunk]:
    """Parts of a table put together, sorted by fingerprint."""
    table = pa.concat_tables([chunk.table() for chunk in chunks])
    return name, Chunk(table.take(pa.array(np.argsort(table["fingerprint"].to_numpy()))))


class WriteVocabulary(apache_beam.DoFn):
    """((feature, file), rows) → facts.VocabularyTotals; writes the file."""

    def __init__(self, stage: str):
        self._stage = stage

    def process(self, element: tuple[Key, Iterable[Chunk]]) -> Iterator[facts.VocabularyTotals]:
        """One file."""
        (name, file), chunks = element
        frames = [pl.DataFrame(chunk.table()) for chunk in chunks]
        with portable():
            directory = epath.Path(self._stage) / "vocabulary"
            values = vocabulary.write(directory, name, file, frames)
        yield _totals(name, values, pl.concat(frames).filter(pl.col("value") != ""))


def _totals(name: str, values: int, frame: pl.DataFrame) -> facts.VocabularyTotals:
    most = frame.filter((pl.col("count") == pl.col("count").max()) & (pl.col("count") > 0))
    return facts.VocabularyTotals(
        feature=name,
        size=values,
        events=int(frame["count"].sum()),
        trained=int((frame["count"] > 0).sum()),
        top=(str(most["value"].min()), int(most["count"][0])) if len(most) else ("", 0),
        alike=alike.find(frame["value"], frame["count"]),
        placeholders=alike.placeholders(frame["value"], frame["count"]),
    )


class Fit(apache_beam.DoFn):
    """(feature, states) → (FittedTransform, schema.Feature); writes the vocabulary, if any."""

    def __init__(self, data: Data, stage: str, base: str | None):
        self._features = {feature.name: feature for feature in data.features}
        self._stage, self._base = stage, base

    def process(self, element: tuple[str, Iterable[Any]]) -> Iterator[Learnt]:
        """One feature."""
        feature = self._features[element[0]]
        state = fit.merge(feature, list(element[1]))
        with portable():
            yield learn(feature, state, "events", self._stage, self._base)


def learn(feature: Any, state: Any, table: Any, stage: str, base: str | None) -> Learnt:
    """Fits a transform, or lets that of the dataset `base` grow, and writes its vocabulary."""
    if base is None:
        fitted, words = fit.fit(feature, state, table)
    else:
        fitted, words = grow.grow(feature, state, epath.Path(base))
    if words is not None:
        path = epath.Path(stage) / "vocabulary" / f"{fitted.vocabulary}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        words.write(path)
    return fitted, fit.features(fitted, words)


def words_of(fitted: FittedTransform, stage: str) -> Words | None:
    """The vocabulary that `learn` wrote."""
    if fitted.vocabulary is None:
        return None
    return Words.read(epath.Path(stage) / "vocabulary" / f"{fitted.vocabulary}.jsonl")


class Apply(apache_beam.DoFn):
    """(key, values) → (feature, Chunk of fingerprint and result), for features of text."""

    def __init__(self, data: Data, stage: str):
        self._features = {feature.name for feature in data.features}
        self._stage = stage

    def process(
        self, element: tuple[Key, Chunk], learnt: Sequence[Learnt]
    ) -> Iterator[tuple[str, Chunk]]:
        """One part."""
        (name, _), chunk = element
        if name not in self._features:
            return
        fitted = next(fitted for fitted, _ in learnt if fitted.transform.name == name)
        table = chunk.table()
        with portable():
            results = fit.apply(
                fitted, words_of(fitted, self._stage), plain(pl.Series(table["value"]))
            )
        yield name, Chunk(pa.table({"fingerprint": table["fingerprint"], "result": results}))


def plain(values: pl.Series) -> pa.Array:
    """Arrow, with text as the transforms take it."""
    array = values.to_arrow()
    return array.cast(pa.string()) if pa.types.is_large_string(array.type) else array
