"""The Beam pipeline: raw files → shards, vocabularies, features, statistics and a summary.

Elements are Chunks of many rows. Text becomes fingerprints at once (codes.py); users are spread
over buckets by theirs; each bucket is sorted, split and written by itself. What is learnt from the
train split alone (vocabularies, scales, boundaries) comes back as side inputs of the last step.

    read ─▶ arrange a bucket ─▶ k-core ─▶ split, count ─▶ number, fit ─▶ write a bucket ─▶ summarise
      └─▶ distinct values ────────────────────────────────────┘   └─▶ side tables ─────────┘

One worker must be able to hold one bucket's events (about 100 bytes each), 12 bytes for each
distinct user and item, 17 where k-core is on, the distinct values of a text feature, and one side
table. Everything else is divided.
"""

import time
from collections.abc import Sequence
from typing import Any

import apache_beam
from apache_beam.pvalue import AsDict, AsList, AsSingleton

from podway.beam.formats import source
from podway.beam.formats.recognise import Recognised
from podway.beam.plan import Base
from podway.beam.steps import arrange, extend, join, number, stored, summarise, write
from podway.beam.steps.chunk import Chunk
from podway.beam.steps.read import ReadEvents, ReadTable
from podway.framework.config import Data, GlobalTime, RandomSplit

Node = Any
"""A PCollection; Beam types the results of its operators more loosely than its arguments."""

Keyed = tuple[tuple[str, int], Chunk]
Bucketed = tuple[int, Chunk]
Named = tuple[str, Chunk]
# All outputs with Chunks have such a type, or Beam would pickle the tables, and not only once: it
# also wants to know how large they are.

TOLERANCE = 86_400_000_000
"""Microseconds by which an event may be later than the start of the job: clocks differ."""


def assemble(
    pipeline: apache_beam.Pipeline,
    data: Data,
    files: list[str],
    stage: str,
    base: Base | None,
    recognised: Sequence[Recognised] = (),
) -> Node:
    """Adds the whole pipeline, which writes below the directory `stage`.

    With a `base`, `files` are those that the base has not read, and its buckets without new events
    remain as they are. `recognised`: of the events, and of each side table.

    Returns one element, when all is written: {"splits": …, "report": …}, the manifest's details
    (see summarise.layout and summarise.report).
    """
    latest = int(time.time() * 1e6) + TOLERANCE
    first = base.files if base else 0
    read = (
        pipeline
        | "files" >> apache_beam.Create(list(enumerate(files, first)))
        | "spread" >> apache_beam.Reshuffle()
        | "read"
        >> apache_beam.ParDo(ReadEvents(data, first + len(files), stage, latest, *recognised[:1]))
        .with_output_types(Bucketed, values=Keyed, counts=Any)
        .with_outputs("values", "counts", main="events")
    )
    tables = _read_tables(pipeline, data, stage, recognised[1:]) if data.tables else None
    listed = tables if any(table.catalogue for table in data.tables) else None
    values = (
        _all_values(read["values"], listed, pipeline, base)
        | "group values" >> apache_beam.GroupByKey()
        | "distinct" >> apache_beam.ParDo(number.Distinct(data, stage)).with_output_types(Keyed)
    )
    arranged = _arrange(read["events"], pipeline, data, base)
    kept_ids = _kept_ids(arranged["events"], data)
    cuts = _cuts(arranged["events"], kept_ids, pipeline, data, base)
    counted = arranged["events"] | "count" >> apache_beam.ParDo(
        arrange.Count(data, stage), kept_ids, cuts
    ).with_output_types(
        Bucketed, counts=Keyed, states=Any, filtered=Any, untouched=Bucketed
    ).with_outputs("counts", "states", "filtered", "untouched", main="events")
    known, index, totals = _number(pipeline, values, counted, listed, data, stage, base)
    fitted, applied = _fit(values, known["states"], counted["states"], data, stage, base)
    joined = _join(tables, data, index, stage, base)
    facts = counted["events"] | "write" >> apache_beam.ParDo(
        write.Write(data, stage), cuts, AsDict(index), fitted, applied
    )
    if base:
        referred = counted["untouched"] | "refer" >> apache_beam.ParDo(
            extend.Refer(data, base.directory), cuts
        )
        facts = (facts, referred) | "all shards" >> apache_beam.Flatten()
    return (
        pipeline
        | "once" >> apache_beam.Impulse()
        | "summarise"
        >> apache_beam.ParDo(
            summarise.Summarise(data, stage),
            AsList(facts),
            cuts,
            base.report if base else None,
            AsList(read["counts"]),
            AsList(counted["filtered"]),
            AsList(arranged["duplicates"]),
            AsList(arranged["old"]) if data.max_user_events is not None else [],
            AsList(totals),
            fitted,
            *joined,
        )
    )


def _all_values(read: Node, listed: Any, pipeline: Any, base: Base | None) -> Node:
    """((feature, part), Chunk of fingerprint and value): read, `listed` in tables, the base's."""
    parts = [read, *([listed["values"]] if listed else [])]
    if base:
        parts.append(
            pipeline
            | "value files" >> apache_beam.Create(list(stored.values(base.directory)))
            | "spread values" >> apache_beam.Reshuffle()
            | "stored values" >> apache_beam.MapTuple(extend.values).with_output_types(Keyed)
        )
    return _flatten("values", parts)


def _flatten(name: str, parts: list[Node]) -> Node:
    """One collection of all parts."""
    return parts[0] if len(parts) == 1 else parts | f"all {name}" >> apache_beam.Flatten()


def _arrange(read: Node, pipeline: Any, data: Data, base: Base | None) -> Any:
    """Each bucket's events, sorted; "events", "duplicates" and "old"."""
    if base is None:
        grouped = read | "group by bucket" >> apache_beam.GroupByKey()
        step: apache_beam.DoFn = arrange.Arrange(data)
    else:
        files = pipeline | "event files" >> apache_beam.Create(list(stored.events(base.directory)))
        parts = {"new": read, "stored": files}
        grouped = parts | "group by bucket" >> apache_beam.CoGroupByKey()
        step = extend.Arrange(data)
    return grouped | "arrange" >> apache_beam.ParDo(step).with_output_types(
        Bucketed, duplicates=Any, old=Any
    ).with_outputs("duplicates", "old", main="events")


def _kept_ids(arranged: Node, data: Data) -> AsDict | None:
    """The users and items that the k-core keeps: {"user": Chunk, "item": Chunk}; None: all."""
    minima = data.minima
    if minima == (1, 1):
        return None
    return AsDict(
        arranged
        | "to one worker" >> apache_beam.MapTuple(arrange.edges).with_output_types(Bucketed)
        | "gather" >> apache_beam.GroupByKey()
        | "k-core" >> apache_beam.ParDo(arrange.KCore(*minima)).with_output_types(Named)
    )


def _cuts(
    arranged: Node, kept_ids: AsDict | None, pipeline: Any, data: Data, base: Base | None
) -> AsSingleton | None:
    """The points of the split: of a global one two in time, of a stratified one two for each class;
    the base's, or over the kept events. None: it has none."""
    split, stratified = data.split, isinstance(data.split, RandomSplit) and data.split.stratify
    if not isinstance(split, GlobalTime) and not stratified:
        return None
    if base is not None:
        assert base.cuts is not None
        return AsSingleton(pipeline | "the base's cuts" >> apache_beam.Create([list(base.cuts)]))
    if not isinstance(split, GlobalTime):
        return AsSingleton(
            arranged
            | "strata" >> apache_beam.ParDo(arrange.Strata(data), kept_ids)
            | "all strata" >> apache_beam.combiners.ToList()
            | "cut strata" >> apache_beam.Map(arrange.cut_strata, data)
        )
    return AsSingleton(
        arranged
        | "kept times" >> apache_beam.ParDo(arrange.Times(), kept_ids)
        | "all times" >> apache_beam.combiners.ToList()
        | "cut" >> apache_beam.Map(arrange.cut, (split.validation, split.test))
    )


def _number(
    pipeline: Any,
    values: Node,
    counted: Node,
    listed: Any,
    data: Data,
    stage: str,
    base: Base | None,
) -> tuple[Any, Node, Node]:
    """The vocabularies of the train split; `listed`: tables whose keys have ids all the same.

    Returns what number.Known makes; of users and items (feature, Chunk of fingerprint and id);
    and summarise.VocabularyTotals.
    """
    counts = _flatten("counts", [counted["counts"], *([listed["none"]] if listed else [])])
    directory = base.directory if base else None
    parts = {"values": values, "counts": counts}
    if base:
        files = list(extend.vocabulary_files(base.directory))
        parts["ids"] = (
            pipeline
            | "vocabulary files" >> apache_beam.Create(files)
            | "spread vocabularies" >> apache_beam.Reshuffle()
            | "ids" >> apache_beam.FlatMapTuple(extend.ids).with_output_types(Keyed)
        )
    known = (
        parts
        | "beside" >> apache_beam.CoGroupByKey()
        | "known"
        >> apache_beam.ParDo(number.Known(data))
        .with_output_types(Keyed, histograms=Any, states=Any, index=Named, rows=Keyed)
        .with_outputs("histograms", "states", "index", "rows", main="values")
    )
    numbered = known["values"] | "number" >> apache_beam.ParDo(
        number.Number(data, directory), AsList(known["histograms"])
    ).with_output_types(Named, rows=Keyed).with_outputs("rows", main="index")
    index = (
        _flatten("index", [numbered["index"], *([known["index"]] if base else [])])
        | "group index" >> apache_beam.GroupByKey()
        | "index" >> apache_beam.MapTuple(number.gather).with_output_types(Named)
    )
    totals = (
        _flatten("rows", [numbered["rows"], *([known["rows"]] if base else [])])
        | "group rows" >> apache_beam.GroupByKey()
        | "write vocabularies" >> apache_beam.ParDo(number.WriteVocabulary(stage))
    )
    return known, index, totals


def _fit(
    values: Node, of_text: Node, of_numbers: Node, data: Data, stage: str, base: Base | None
) -> tuple[Any, Any]:
    """The features' transforms, from the states of their values in the train split.

    Returns side inputs: (FittedTransform, schema.Feature) of the events' features; and (feature,
    Chunk of fingerprint and result) of those that are text.
    """
    if not data.features:  # each step costs time, even without an element
        return [], {}
    fitted = AsList(
        (of_text, of_numbers)
        | "all states" >> apache_beam.Flatten()
        | "group states" >> apache_beam.GroupByKey()
        | "fit" >> apache_beam.ParDo(number.Fit(data, stage, base.directory if base else None))
    )
    applied = AsDict(
        values
        | "apply" >> apache_beam.ParDo(number.Apply(data, stage), fitted).with_output_types(Named)
        | "group results" >> apache_beam.GroupByKey()
        | "results" >> apache_beam.MapTuple(number.gather).with_output_types(Named)
    )
    return fitted, applied


def _read_tables(pipeline: Any, data: Data, stage: str, recognised: Sequence[Recognised]) -> Any:
    """What read.ReadTable makes of all side tables: "rows", "counts", "values" and "none"."""
    files = [
        (table_number, file_number, file)
        for table_number, table in enumerate(data.tables)
        for file_number, file in enumerate(source.find(table))
    ]
    return (
        pipeline
        | "table files" >> apache_beam.Create(files)
        | "spread tables" >> apache_beam.Reshuffle()
        | "read tables"
        >> apache_beam.ParDo(ReadTable(data.tables, stage, recognised))
        .with_output_types(tuple[str, tuple[int, Chunk]], counts=Any, values=Keyed, none=Keyed)
        .with_outputs("counts", "values", "none", main="rows")
    )


def _join(tables: Any, data: Data, index: Node, stage: str, base: Base | None) -> tuple[Any, Any]:
    """Side inputs on side tables: the facts of each, and summarise.ReadCounts of their files."""
    if tables is None:
        return [], []
    facts = (
        tables["rows"]
        | "group tables" >> apache_beam.GroupByKey()
        | "join"
        >> apache_beam.ParDo(
            join.Join(data, stage, base.directory if base else None), AsDict(index)
        )
    )
    return AsList(facts), AsList(tables["counts"])
