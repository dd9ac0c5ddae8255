"""Metrics of the newest dataset of a name: what was read, what was rejected, how fresh it is, and
how far it has moved from the one before."""

import datetime
from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.beam.check import described
from podway.beam.check.described import Described
from podway.beam.statistics import drift
from podway.framework import artifact
from podway.framework.config.limits import Limits
from podway.framework.report import artefacts
from podway.launch.monitor.alerts import catalogue
from podway.launch.monitor.alerts.catalogue import Samples, one

VERDICTS = {"none": 0.0, "warning": 1.0, "drift": 2.0}
"""Of beam/statistics/drift.py; without one, there is no sample."""
_ALONE = ("user", "time", "target_time", "target")
"""Roles whose values are other ones in every dataset; targets are items, as they are in item."""


def versions(workdir: epath.Path, name: str) -> list[tuple[epath.Path, artifact.Manifest]]:
    """The committed datasets of a name, the newest first."""
    home, found = workdir / "datasets" / name, []
    for directory in home.iterdir() if home.is_dir() else ():
        manifest = artefacts.manifest(directory, "dataset")
        if manifest is not None and not directory.name.startswith(("_", ".")):
            found.append((directory, manifest))
    return sorted(found, key=lambda each: (each[1].created, each[0].name), reverse=True)


def samples(workdir: epath.Path, name: str, limits: Limits) -> Samples:
    """All of them; none where there is no dataset of this name yet.

    Raises ArtifactError, SchemaError, DataError: one cannot be read.
    """
    found = versions(workdir, name)
    if not found:
        return []
    directory, manifest = found[0]
    who, newest = (name, directory.name), described.read(directory)
    made = _counts(who, manifest) + _freshness(who, manifest, newest)
    if len(found) > 1:
        made += _drift(who, newest, described.read(found[1][0]), limits)
    return made


def _counts(who: tuple[str, str], manifest: artifact.Manifest) -> Samples:
    report, splits = manifest.details["report"], manifest.details["splits"]
    made = one(catalogue.DATA_ROWS, who, report["rows"])
    made += one(catalogue.DATA_KEPT, who, report["kept"])
    for reason, count in report["rejected"].items():
        made += one(catalogue.DATA_REJECTED, (*who, reason), count)
    for rule, count in report["filtered"].items():
        made += one(catalogue.DATA_FILTERED, (*who, rule), count)
    for split, part in splits.items():
        made += one(catalogue.DATA_EXAMPLES, (*who, split), part["examples"])
    return made


def _freshness(who: tuple[str, str], manifest: artifact.Manifest, newest: Described) -> Samples:
    built = datetime.datetime.fromisoformat(manifest.created).timestamp()
    made = one(catalogue.DATA_BUILT, who, built)
    if (last := _last(manifest.details["report"], newest)) is not None:
        made += one(catalogue.DATA_LAST_EVENT, who, last / 1e6)
    return made


def _last(report: Mapping[str, Any], newest: Described) -> float | None:
    """Microseconds since 1970; None where the order of the rows stands for time."""
    if "last" in report:
        return report["last"]
    latest = [
        features[name]["max"]
        for features in newest.statistics.values()
        for name in ("time", "target_time")
        if name in features and features[name].get("max") is not None
    ]
    return max(latest, default=None)


def _drift(who: tuple[str, str], newest: Described, earlier: Described, limits: Limits) -> Samples:
    made: Samples = []
    unjudged = 0
    for split in newest.statistics:
        for feature in newest.schema.features:
            sides = [each.features(split).get(feature.name) for each in (earlier, newest)]
            old, new = sides
            if feature.role in _ALONE or old is None or new is None:
                continue
            if old["kind"] != new["kind"] or old["kind"] not in ("number", "ids"):
                continue
            told = drift.compare(old, new, limits)
            unjudged += told.verdict == "unjudged"
            of = (*who, split, feature.name)
            made += judged(told, of, catalogue.DATA_PSI, catalogue.DATA_JS, catalogue.DATA_DRIFT)
    return made + one(catalogue.DATA_UNJUDGED, who, unjudged)


def judged(
    told: drift.Drift,
    of: tuple[str, ...],
    psi: catalogue.Metric,
    js: catalogue.Metric,
    verdict: catalogue.Metric,
) -> Samples:
    """A comparison as samples; none without a verdict."""
    if told.verdict == "unjudged":
        return []
    return [
        *one(psi, of, told.psi),
        *one(js, of, told.js),
        *one(verdict, of, VERDICTS[told.verdict]),
    ]
