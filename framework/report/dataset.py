"""A dataset in a few lines, for the pages of what is made from it."""

from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.framework import artifact
from podway.framework.page import text
from podway.framework.report import artefacts

PAGE = "statistics.html"
"""The dataset's own page, in its folder."""
_CLOCKS = ("time", "target_time")
"""Columns of times."""


def facts(directory: epath.Path, manifest: artifact.Manifest) -> list[tuple[str, str]]:
    """Names and values: where it is from, how much it is, and from when to when."""
    report = _mapping(manifest.details.get("report"))
    config = _mapping(manifest.config)
    told = [("made", artefacts.clock(manifest.created)), ("raw files", str(config.get("path", "")))]
    for name, key in (("raw rows", "rows"), ("kept events", "kept")):
        told.append((name, _count(report.get(key))))
    for kind in ("filtered", "rejected"):
        count = sum(_mapping(report.get(kind)).values())
        told.append((kind, _count(count) if count else ""))
    told += [(name, _count(report.get(name))) for name in ("users", "items")]
    if artefacts.is_number(report.get("density")):
        told.append(("density", f"{report['density']:.3%}"))
    for split, part in _mapping(manifest.details.get("splits")).items():
        told.append((f"{split} examples", _count(_mapping(part).get("examples"))))
    told.append(("split", str(_mapping(config.get("split")).get("type", ""))))
    if report.get("early_test_targets", 0) is not None:  # else its times are positions
        told += times(directory)
    return [(name, value) for name, value in told if value]


def times(directory: epath.Path) -> list[tuple[str, str]]:
    """The first and the last time of its events."""
    ends: list[tuple[float, float]] = []
    for split in _mapping(artefacts.mapping(directory / "statistics.json").get("splits")).values():
        for name in _CLOCKS:
            found = _mapping(_mapping(split).get(name))
            low, high = found.get("min"), found.get("max")
            if artefacts.is_number(low) and artefacts.is_number(high):
                ends.append((low, high))
    if not ends:
        return []
    first, last = min(low for low, _ in ends), max(high for _, high in ends)
    return [("first event", text.time(first)), ("last event", text.time(last))]


def _count(value: Any) -> str:
    return f"{value:,}" if artefacts.is_number(value) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
