"""A dataset's numbers as lines of text, and the fingerprint of what it holds."""

import datetime
from collections.abc import Sequence
from typing import Any

from podway.beam import extension, headers
from podway.beam.formats.times import NAMES
from podway.framework import artifact, codec

_EPOCH = datetime.datetime(1970, 1, 1)


LONG = 10_000
"""Events of a history above which its length is worth a word."""


def fingerprint(manifest: artifact.Manifest) -> str:
    """A hash of shards and vocabularies: equal data, equal fingerprint, whatever the raw format."""
    kept = ("train/", "validation/", "test/", "vocabulary/")
    return codec.content_hash(
        sorted(
            [path, file.sha256]
            for file in manifest.files
            if (path := artifact.place(file.path)).startswith(kept)
        )
    )


def report(manifest: artifact.Manifest) -> str:
    """The dataset's numbers, for people."""
    found, splits = manifest.details["report"], manifest.details["splits"]
    rejected = found["rejected"]
    lines = [
        ("rows", found["rows"], "in the raw data"),
        ("kept", found["kept"], "rows" if found["users"] is None else "events"),
        *(("filtered", count, f"by {rule}") for rule, count in found["filtered"].items()),
        ("rejected", sum(rejected.values()), "see rejected/" if rejected else ""),
        *(("", count, reason) for reason, count in rejected.items()),
        *_of_times(found, manifest.details.get("recognised") or ()),
        *_of_events(found),
        *_of_targets(found, splits),
        *((split, part["examples"], "examples") for split, part in splits.items()),
        *_of_leakage(found),
        *_of_longest(found),
        *_of_notices(found),
        *(("columns", count, said) for count, said in headers.lines(found.get("columns", ()))),
        *(line for table in manifest.details["tables"] for line in _of_table(table)),
        *extension.lines(manifest),
        ("fingerprint", fingerprint(manifest), ""),
    ]
    head = f"dataset {manifest.name} {manifest.version}"
    return "\n".join([head, *(_line(*line) for line in lines)])


def _of_events(found: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """Lines of the report on users and items, as far as there are such."""
    users, items = found["users"], found["items"]
    lines = [("users", users, "")] if users is not None else []
    lines += [("items", items, "")] if items is not None else []
    lines += _of_largest(found)
    if users is None:
        said = "rows equal an earlier one in all that is read"
        return [*lines, ("repeats", found["repeated_events"], said)]
    if items is not None:
        lines.append(("density", found["density"], "events per pair of user and item"))
    tied = "of the users have their last two events at one time"
    return [
        *lines,
        ("tied events", found["tied_events"], "of the events share user and time with another"),
        ("tied users", found["tied_users"], tied),
        ("repeats", found["repeated_events"], "events equal an earlier one in user, item and time"),
    ]


def _of_leakage(found: dict[str, Any]) -> list[tuple[str, Any, str]]:
    if found["users"] is None:
        return []
    said = "test targets before the latest train event"
    return [("leakage", found["early_test_targets"], said)]


def _of_longest(found: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """A line on the longest history, where that is a cost."""
    longest = found.get("longest_history", 0)
    said = "events of the longest history, which evaluation and serving read;"
    said = f"{said} data.max_user_events bounds them"
    return [("longest", longest, said)] if longest > LONG else []


def _of_targets(found: dict[str, Any], splits: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """Lines of the report where some events are no targets."""
    if (context := found.get("context_events")) is None:
        return []
    lines = [("context", context, "events are history only (data.targets, or of weight 0)")]
    if seen := found["seen_test_targets"]:
        remark = "of the test targets are in their own history; evaluation.exclude_seen forbids"
        lines.append(("seen before", seen / splits["test"]["examples"], f"{remark} them"))
    return lines


def _of_times(found: dict[str, Any], recognised: Sequence[dict[str, Any]]) -> list[Any]:
    """When the first and the last event was, and in which unit the times were taken to be."""
    if found.get("first") is None:
        return []
    unit = recognised[0]["units"].get("time", "") if recognised else ""
    name = NAMES.get(unit, "ISO 8601" if unit == "iso" else "")
    said = f"; times read as {name}" if name else ""
    return [
        ("first", clock(found["first"]), f"time of the first event (UTC){said}"),
        ("last", clock(found["last"]), "time of the last event"),
    ]


def _of_largest(found: dict[str, Any]) -> list[Any]:
    """Which part of the events one user and one item has."""
    return [
        (f"top {of}", share, f"of the train events are of the {of} {value!r}")
        for of, (value, share) in found.get("largest", {}).items()
    ]


def _of_notices(found: dict[str, Any]) -> list[Any]:
    """What was converted, and what looks like one thing written in several ways."""
    lines = [("notice", count, reason) for reason, count in found.get("notices", {}).items()]
    for name, alike in found.get("alike", {}).items():
        ways = " or ".join(map(repr, alike["examples"][0]))
        remark = f"values of {name} look like {alike['groups']:,}, such as {ways}"
        lines.append(("alike", alike["values"], remark))
    for name, values in found.get("placeholders", {}).items():
        for value, count in values.items():
            remark = f"train events of the {name} {value!r}: a missing one? see null of the format"
            lines.append(("placeholder", count, remark))
    return lines


def clock(micro: int) -> str:
    """A time for people, to the second."""
    return str(_EPOCH + datetime.timedelta(seconds=micro // 1_000_000))


def _of_table(table: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Lines of the report on a side table."""
    return [
        (f"{table['of']} table", table["rows"], f"rows of {table['path']}"),
        *(("  filtered", count, f"by {rule}") for rule, count in table.get("filtered", {}).items()),
        *(("  rejected", count, reason) for reason, count in table["rejected"].items()),
        ("  repeated", table["repeated"], "of them have the key of an earlier one"),
        *(("  notice", count, reason) for reason, count in table.get("notices", {}).items()),
        ("  unused", table["unused"], f"of them are of no {table['of']} of the train split"),
        ("  without", table["without"], f"{table['of']}s of the train split have no row"),
    ]


def _line(name: str, value: int | float | str | None, remark: str) -> str:
    if value is None:
        value, remark = "–", "no clock: the order of the rows is the order of time"
    elif isinstance(value, float):
        value = f"{value:.2%}"
    elif isinstance(value, int):
        value = f"{value:,}"
    return f"  {name:<12}{value:>16}  {remark}".rstrip()
