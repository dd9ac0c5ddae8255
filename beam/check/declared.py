"""The declared schema: what a dataset must be like, in a JSON file that people keep and edit.

{feature: {key: value}}; the keys are the fields of Declared, and none of them must be there.
"""

import dataclasses
import difflib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from podway.beam.check.described import Described
from podway.beam.check.findings import Finding
from podway.beam.statistics import numbers
from podway.framework import codec
from podway.framework.error import ConfigError
from podway.framework.schema.schema import Feature

_DOMAIN = 50
"""Values of a vocabulary that `infer` still lists."""


@dataclasses.dataclass(frozen=True)
class Declared:
    """What one feature must be like, in every split. What is null, or left out, is not checked."""

    role: str | None = None
    """As in the dataset's schema.json: "user", "item", "feature", "label" …"""
    dtype: str | None = None
    """ "int32", "int64" or "float32"."""
    ragged: bool | None = None
    """Whether an example holds a list of values."""
    min: float | None = None
    """Least number, as it stands in the raw data; of times in microseconds since 1970."""
    max: float | None = None
    """Largest number."""
    values: tuple[str, ...] | None = None
    """All values that there may be."""
    max_missing: float | None = None
    """Share of the rows whose value may be missing."""
    max_out_of_vocabulary: float | None = None
    """Share of the rows whose value may be out of the vocabulary."""
    max_size: int | None = None
    """Ids that the vocabulary may have."""
    max_length: int | None = None
    """Values that a list may have."""


def read(path: epath.PathLike) -> dict[str, Declared]:
    """Reads a declared schema. Raises ConfigError that names the feature and the key."""
    try:
        content = json.loads(epath.Path(path).read_text())
    except FileNotFoundError:
        raise ConfigError(
            f"there is no schema {path}; `podway data CONFIG --infer-schema {path}` writes one"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold an object, feature → what it must be like")
    known = [field.name for field in dataclasses.fields(Declared)]
    for name, keys in content.items():
        unknown = sorted(set(keys) - set(known)) if isinstance(keys, dict) else []
        if unknown:
            close = difflib.get_close_matches(unknown[0], known, 1)
            hint = f"perhaps {close[0]!r}?" if close else f"the keys are {', '.join(known)}"
            raise ConfigError(f"{path}: {name} has unknown keys {unknown}; {hint}")
    return {
        name: codec.from_json(Declared, keys, f"{path}: {name}") for name, keys in content.items()
    }


def write(path: epath.PathLike, declared: Mapping[str, Declared]) -> None:
    """Writes what `read` reads; keys that say nothing are left out."""
    features = {
        name: {key: value for key, value in codec.to_json(one).items() if value is not None}
        for name, one in declared.items()
    }
    lines = [f" {_text(name)}: {_text(keys)}" for name, keys in features.items()]
    epath.Path(path).write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def infer(dataset: Described) -> dict[str, Declared]:
    """What a dataset is like, as a start for a declared schema.

    Numbers must stay in their range, missing values at most twice as frequent, vocabularies at most
    twice as large, lists as short; vocabularies of up to 50 values are listed. Times are not bound.
    """
    return {feature.name: _infer(dataset, feature) for feature in dataset.schema.features}


def _infer(dataset: Described, feature: Feature) -> Declared:
    found = [split[feature.name] for split in dataset.statistics.values() if feature.name in split]
    numeric = [one for one in found if one["kind"] == "number" and one["min"] is not None]
    values = None
    if feature.vocabulary and feature.role not in ("user", "item", "target"):
        counts = dataset.counts(feature.vocabulary)
        values = tuple(sorted(counts)) if len(counts) <= _DOMAIN else None
    return Declared(
        role=feature.role,
        dtype=feature.dtype,
        ragged=feature.ragged,
        min=min((one["min"] for one in numeric), default=None),
        max=max((one["max"] for one in numeric), default=None),
        values=values,
        max_missing=_twice(share(one, "missing") for one in found),
        max_out_of_vocabulary=_twice(
            share(one, "out_of_vocabulary") for one in found if one["kind"] == "ids"
        )
        if feature.vocabulary
        else None,
        max_size=2 * feature.size if feature.vocabulary and values is None else None,
        max_length=feature.max_length if feature.ragged else None,
    )


def _twice(shares: Iterator[float]) -> float:
    """Twice the largest share, rounded up to a thousandth; 0 stays 0."""
    return min(1.0, math.ceil(2_000 * max(shares, default=0.0)) / 1_000)


def share(statistics: Mapping[str, Any], key: str) -> float:
    """Of the missing values, or of those out of the vocabulary."""
    return statistics[key] / statistics["count"] if statistics["count"] else 0.0


def findings(dataset: Described, declared: Mapping[str, Declared], path: str) -> Iterator[Finding]:
    """Where a dataset is not as declared in the file `path`."""
    for name in declared:
        if name not in dataset.names:
            yield Finding(
                "error",
                name,
                "",
                "feature",
                f"in {path}",
                "not in the dataset",
                f"add it to the config's data, or remove it from {path}",
                math.inf,
            )
    for feature in dataset.schema.features:
        if feature.name not in declared:
            yield Finding(
                "warning",
                feature.name,
                "",
                "feature",
                f"not in {path}",
                "in the dataset",
                f"declare it in {path}: {{}} lets anything pass",
            )
            continue
        one = declared[feature.name]
        yield from _of_schema(feature, one, path)
        for split, features in dataset.statistics.items():
            if feature.name in features:
                told = features[feature.name]
                yield from _of_shares(feature.name, split, told, one, path)
                yield from _of_range(feature.name, split, told, one, path)
                if one.values is not None:
                    yield from _of_values(dataset, feature, split, told, one.values, path)


def _of_schema(feature: Feature, declared: Declared, path: str) -> Iterator[Finding]:
    for key in ("role", "dtype", "ragged"):
        expected, found = getattr(declared, key), getattr(feature, key)
        if expected is not None and expected != found:
            yield Finding(
                "error",
                feature.name,
                "",
                key,
                str(expected),
                str(found),
                f"change the feature in the config's data, or {key} in {path}",
                math.inf,
            )
    for key, found in (("max_size", feature.size), ("max_length", feature.max_length)):
        expected = getattr(declared, key)
        if expected is not None and found > expected:
            yield Finding(
                "error",
                feature.name,
                "",
                key.removeprefix("max_"),
                f"at most {expected:,}",
                f"{found:,}",
                f"mend the raw data, or raise {key} in {path}",
                found / max(expected, 1),
            )


def _of_shares(
    name: str, split: str, told: Mapping[str, Any], declared: Declared, path: str
) -> Iterator[Finding]:
    for key in ("missing", "out_of_vocabulary"):
        expected = getattr(declared, f"max_{key}")
        if expected is None or key not in told:
            continue
        found = share(told, key)
        if found > expected:
            yield Finding(
                "error",
                name,
                split,
                key.replace("_", " "),
                f"at most {expected:.3%}",
                f"{found:.3%}",
                f"mend the raw data, or raise max_{key} in {path}",
                found / expected if expected else math.inf,
            )


def _of_range(
    name: str, split: str, told: Mapping[str, Any], declared: Declared, path: str
) -> Iterator[Finding]:
    if told["kind"] == "ids" or told["min"] is None:
        return
    made = numbers.from_json(told).sketch
    for key, beyond, extreme in (
        ("min", made.low < (-math.inf if declared.min is None else declared.min), told["min"]),
        ("max", made.high > (math.inf if declared.max is None else declared.max), told["max"]),
    ):
        if beyond.any():
            part = int(made.counts[beyond].sum()) / made.count
            word = "least" if key == "min" else "most"
            yield Finding(
                "error",
                name,
                split,
                "range",
                f"at {word} {getattr(declared, key):.10g}",
                f"{extreme:.10g}; {part:.2%} of the numbers are beyond",
                f"mend the raw data, or change {key} in {path}",
                1 + 1000 * part,
            )


def _of_values(
    dataset: Described,
    feature: Feature,
    split: str,
    told: Mapping[str, Any],
    values: tuple[str, ...],
    path: str,
) -> Iterator[Finding]:
    if feature.vocabulary is None:
        if split == "train":
            yield Finding(
                "error",
                feature.name,
                "",
                "values",
                f"{len(values)} values",
                "no vocabulary",
                f"make the feature Categorical, or remove `values` from {path}",
            )
        return
    if split == "train":  # the vocabulary knows all of its values
        counts = dataset.counts(feature.vocabulary)
    else:
        counts = {value: count for _, value, count in told["top"] if value is not None}
    unknown = {value: count for value, count in counts.items() if value not in set(values)}
    if unknown:
        part = sum(unknown.values()) / max(told["count"], 1)
        yield Finding(
            "error",
            feature.name,
            split,
            "values",
            f"one of {len(values)} values",
            f"{some(list(unknown))}: {part:.2%} of the rows",
            f"mend the raw data, or add to `values` in {path}",
            1 + 1000 * part,
        )


def some(values: list[str]) -> str:
    """The first values, and how many more there are."""
    shown = ", ".join(repr(value if len(value) <= 40 else value[:40] + "…") for value in values[:3])
    return shown + (f" and {len(values) - 3:,} more" if len(values) > 3 else "")
