"""Checks a dataset against a declared schema, and against an earlier dataset.

Compared with the earlier one are features, their types and shapes, the number of examples, the
sizes of the vocabularies, values that are new, numbers out of range, shares of missing values and
of those out of the vocabulary, and drift (drift.py). Users and times are other ones in every
dataset, so their values are not compared; nor are those of a feature with fewer than `limits.rows`
rows. A share that grew counts only where that happens by chance less than once in a thousand times.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from podway.beam.check import declared, described
from podway.beam.check.declared import share, some
from podway.beam.check.described import Described
from podway.beam.check.findings import Finding, Report, worst_first
from podway.beam.check.increment import as_known
from podway.beam.statistics import drift, numbers
from podway.framework.config.limits import Limits
from podway.framework.error import ConfigError
from podway.framework.schema.schema import Feature

_Z = 3.09
_DEFAULT = Limits()
_ALONE = ("user", "time", "target_time")
"""Roles whose values are other ones in every dataset."""


def check(
    directory: epath.PathLike,
    *,
    schema: epath.PathLike | None = None,
    against: epath.PathLike | None = None,
    limits: Limits = _DEFAULT,
    increment: bool = False,
) -> Report:
    """Checks a dataset.

    Args:
      directory: of the dataset.
      schema: file of a declared schema (declared.py).
      against: directory of an earlier dataset.
      limits: how far the two may be from each other.
      increment: the dataset holds new events alone (increment.py).

    Raises:
      ConfigError: there is nothing to check against, or the declared schema is wrong.
      ArtifactError, SchemaError, DataError: a dataset cannot be read.
    """
    if schema is None and against is None:
        raise ConfigError(
            "nothing to check against: give --schema, or --against an earlier dataset"
        )
    dataset = described.read(directory)
    found: list[Finding] = []
    unjudged: dict[str, list[str]] = {}
    if schema is not None:
        found += declared.findings(dataset, declared.read(schema), str(schema))
    if against is not None:
        earlier = described.read(against)
        found += _of_schemas(dataset, earlier, limits)
        found += _of_counts(dataset, earlier, limits)
        found += _of_vocabularies(dataset, earlier, limits, increment=increment)
        for split, feature in _comparable(dataset, earlier, increment=increment):
            old, new = _sides(dataset, earlier, split, feature, increment=increment)
            if min(old["count"], new["count"]) < limits.rows:
                unjudged.setdefault(split, []).append(feature.name)
                continue
            found += _of_shares(feature.name, split, old, new, limits)
            found += _of_range(feature.name, split, old, new, limits)
            moved = _of_drift(feature.name, split, old, new, limits, lengths=not increment)
            if moved is None:
                unjudged.setdefault(split, []).append(feature.name)
            else:
                found += moved
    return Report(
        dataset=str(directory),
        against=str(against or ""),
        schema=str(schema or ""),
        checked=len(dataset.names),
        findings=worst_first(found),
        unjudged=unjudged,
        rows=limits.rows,
    )


def largest_psi(
    directory: epath.PathLike, against: epath.PathLike, limits: Limits = _DEFAULT
) -> tuple[float, str] | None:
    """The feature of an increment that drifted most, as (PSI, name); None: no verdict.

    Raises ArtifactError, SchemaError, DataError: a dataset cannot be read.
    """
    dataset, earlier = described.read(directory), described.read(against)
    found = []
    for split, feature in _comparable(dataset, earlier, increment=True):
        told = drift.compare(*_sides(dataset, earlier, split, feature, increment=True), limits)
        if told.verdict != "unjudged":
            found.append((told.psi, feature.name))
    return max(found, default=None)


def _of_schemas(dataset: Described, earlier: Described, limits: Limits) -> Iterator[Finding]:
    for name in sorted({*dataset.names, *earlier.names}):
        if name not in dataset.names:
            yield Finding(
                "error",
                name,
                "",
                "feature",
                "there, as before",
                "missing",
                "add it to the config's data, or compare with a dataset without it",
                math.inf,
            )
        elif name not in earlier.names:
            yield Finding(
                "warning",
                name,
                "",
                "feature",
                "not there, as before",
                "new",
                "nothing, if it was added on purpose",
            )
        else:
            old, new = earlier.schema[name], dataset.schema[name]
            for key in ("role", "dtype", "ragged", "shape", "table", "vocabulary"):
                expected, found = getattr(old, key), getattr(new, key)
                if expected != found:
                    yield Finding(
                        "error",
                        name,
                        "",
                        key,
                        str(expected),
                        str(found),
                        "models of the earlier dataset cannot read this one; undo the change, or"
                        " train anew",
                        math.inf,
                    )


def _of_counts(dataset: Described, earlier: Described, limits: Limits) -> Iterator[Finding]:
    for split, before in earlier.examples.items():
        now = dataset.examples.get(split, 0)
        if now < limits.examples * before:
            yield Finding(
                "error",
                "",
                split,
                "examples",
                f"at least {limits.examples * before:,.0f}",
                f"{now:,} ({before:,} before)",
                "see `podway rejected` and the raw files, or lower --limits.examples",
                limits.examples * before / max(now, 1),
            )


def _of_vocabularies(
    dataset: Described, earlier: Described, limits: Limits, *, increment: bool
) -> Iterator[Finding]:
    for feature in dataset.schema.features:
        if feature.role in (*_ALONE, "target") or not feature.vocabulary:
            continue
        if feature.name not in earlier.names:
            continue
        old = earlier.schema[feature.name]
        if not old.vocabulary or not old.size:
            continue
        factor = max(feature.size / old.size, old.size / max(feature.size, 1))
        if factor > limits.vocabulary:
            yield Finding(
                "error",
                feature.name,
                "",
                "vocabulary",
                f"{old.size / limits.vocabulary:,.0f} to {old.size * limits.vocabulary:,.0f} ids",
                f"{feature.size:,} ({old.size:,} before)",
                f"look at its values in vocabulary/{feature.vocabulary}.jsonl, or raise"
                " --limits.vocabulary",
                factor / limits.vocabulary,
            )
        counts, known = dataset.counts(feature.vocabulary), earlier.counts(old.vocabulary)
        new = {value: count for value, count in counts.items() if value not in known}
        total, least = sum(counts.values()), min(sum(counts.values()), sum(known.values()))
        part = sum(new.values()) / max(total, 1)
        most = limits.new_values
        if increment:  # the earlier dataset left out rare values, and this one none
            most += share(earlier.features("train").get(feature.name, {}), "out_of_vocabulary")
        if part > most and least >= limits.rows:
            yield Finding(
                "error",
                feature.name,
                "train",
                "new values",
                f"at most {most:.1%}",
                f"{part:.1%} of the values: {some(sorted(new, key=lambda v: (-new[v], v)))}",
                "mend their spelling in the raw data, or raise --limits.new-values",
                part / max(most, 1e-9),
            )


def _comparable(
    dataset: Described, earlier: Described, *, increment: bool
) -> Iterator[tuple[str, Feature]]:
    """What has statistics of one kind on both sides; of an increment, in its train split."""
    for split in ("train",) if increment else dataset.statistics:
        for feature in dataset.schema.features:
            sides = [one.features(split).get(feature.name) for one in (dataset, earlier)]
            kinds = {side["kind"] if side else None for side in sides}
            if feature.role not in _ALONE and len(kinds) == 1 and kinds <= {"number", "ids"}:
                yield split, feature


def _sides(
    dataset: Described, earlier: Described, split: str, feature: Feature, *, increment: bool
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A feature's statistics, before and now."""
    old, new = (one.features(split)[feature.name] for one in (earlier, dataset))
    name = earlier.schema[feature.name].vocabulary if feature.name in earlier.names else ""
    if increment and feature.vocabulary and name:
        new = as_known(new, dataset.counts(feature.vocabulary), earlier.counts(name))
    return old, new


def _of_shares(
    name: str, split: str, old: Mapping[str, Any], new: Mapping[str, Any], limits: Limits
) -> Iterator[Finding]:
    for key in ("missing", "out_of_vocabulary"):
        limit = getattr(limits, key)
        if key not in old or key not in new:
            continue
        before, now = share(old, key), share(new, key)
        most = min(1.0, before + limit)
        both = (old[key] + new[key]) / (old["count"] + new["count"])
        chance = _Z * math.sqrt(both * (1 - both) * (1 / old["count"] + 1 / new["count"]))
        if now - before > max(limit, chance):
            yield Finding(
                "error",
                name,
                split,
                key.replace("_", " "),
                f"at most {most:.1%}",
                f"{now:.1%} ({before:.1%} before)",
                f"mend the raw data, or raise --limits.{key.replace('_', '-')}",
                (now - before) / max(limit, 1e-9),
            )


def _of_range(
    name: str, split: str, old: Mapping[str, Any], new: Mapping[str, Any], limits: Limits
) -> Iterator[Finding]:
    if old["kind"] != "number" or old["min"] is None or new["min"] is None:
        return
    made = numbers.from_json(new).sketch
    beyond = (made.low < old["min"]) | (made.high > old["max"])
    part = int(made.counts[beyond].sum()) / made.count
    width = old["max"] - old["min"]
    far = max(old["min"] - new["min"], new["max"] - old["max"]) > width
    if part > limits.outside or far:
        yield Finding(
            "error" if part > limits.outside else "warning",
            name,
            split,
            "range",
            f"{old['min']:.6g} to {old['max']:.6g}",
            f"{new['min']:.6g} to {new['max']:.6g}; {part:.2%} of the numbers are outside",
            "look for another unit or for broken rows, or raise --limits.outside",
            part / max(limits.outside, 1e-9),
        )


def _of_drift(
    name: str,
    split: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    limits: Limits,
    *,
    lengths: bool,
) -> list[Finding] | None:
    """None: there are too few rows for a verdict."""
    pairs = [(name, old, new)]
    if lengths and "lengths" in old and "lengths" in new:
        pairs.append((f"{name} (length)", old["lengths"], new["lengths"]))
    found = []
    for what, reference, other in pairs:
        told = drift.compare(reference, other, limits)
        if told.verdict == "unjudged":
            return None
        if told.verdict == "none":
            continue
        severe = told.verdict == "drift"
        found.append(
            Finding(
                "error" if severe else "warning",
                what,
                split,
                "drift",
                f"PSI up to {limits.psi:g}" if severe else f"JS up to {limits.js:g}",
                f"PSI {told.psi:.3f}, JS {told.js:.3f}; {told.moved}",
                "find out what changed in the raw data; train anew, or raise --limits."
                + ("psi" if severe else "js"),
                told.psi / limits.psi if severe else told.js / limits.js,
            )
        )
    return found
