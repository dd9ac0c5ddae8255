"""Committed datasets without shards: what checks and pages read."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from podway.beam.statistics import ids, numbers, statistics
from podway.framework import artifact
from podway.framework.schema.schema import Feature, Schema, Vocabulary

Columns = Mapping[str, Any]
"""Feature → its values: floats (NaN is missing), or texts (None is missing)."""

LABELS = {"user": "user", "item": "item", "clicked": "label"}
"""Roles that are told by the name; all others are features."""


def commit(
    directory: pathlib.Path,
    train: Columns,
    *,
    schema: Mapping[str, Mapping[str, Any]] | None = None,
    min_count: int = 1,
    **others: Columns,
) -> epath.Path:
    """A dataset of these splits; `schema` changes what is said of features."""
    target = epath.Path(directory)
    splits = {"train": train, **others}
    features, words = [], {}
    for name, values in train.items():
        role = LABELS.get(name, "feature")
        if isinstance(values[0], str | None):
            found, counts = np.unique([v for v in values if v], return_counts=True)
            order = [at for at in np.argsort(-counts, kind="stable") if counts[at] >= min_count]
            kept = tuple(str(found[at]) for at in order)
            words[name] = Vocabulary(
                ("", "", *kept), (0, 0, *(int(counts[at]) for at in order))
            )  # fmt: skip
            feature = Feature(name, role, "int32", vocabulary=name, size=len(kept) + 2)
        else:
            feature = Feature(name, role, "float32")
        features.append(feature)
    told = {
        split: {
            feature.name: statistics.to_json(
                _part(columns[feature.name], words.get(feature.name)),
                feature,
                words.get(feature.name),
            )
            for feature in features
            if feature.name in columns
        }
        for split, columns in splits.items()
    }
    changed = [
        Feature(**{**vars(feature), **(schema or {}).get(feature.name, {})}) for feature in features
    ]
    with artifact.staging(target) as stage:
        (stage / "vocabulary").mkdir()
        for name, vocabulary in words.items():
            vocabulary.write(stage / "vocabulary" / f"{name}.jsonl")
        Schema(tuple(changed)).write(stage / "schema.json")
        statistics.write(stage / "statistics.json", told)
        examples = {
            split: {"examples": len(next(iter(columns.values())))}
            for split, columns in splits.items()
        }
        artifact.commit(
            stage, kind="dataset", name=target.parent.name, version=target.name, config={},
            inputs={}, code="", details={"splits": examples, "report": {}},
        )  # fmt: skip
    return target


def _part(values: Any, vocabulary: Vocabulary | None) -> Any:
    if vocabulary is None:
        return numbers.of(values)
    found = [vocabulary.id(value) if value else 0 for value in values]
    return ids.of(np.bincount(found, minlength=2))
