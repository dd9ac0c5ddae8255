"""Rejected rows, for people: how many for which reason, and some of each.

They lie in a dataset's rejected/, one JSON object a line: file, row, reason and the raw row. Where
so many were rejected that there is no dataset, they are kept beside it, in _rejected-VERSION/.
"""

import collections
import json
from collections.abc import Iterable, Iterator
from typing import Any

from etils import epath

from podway.beam.error import DataError
from podway.framework import artifact

_REPORT = "report.json"
"""Beside rejected rows without a dataset: what its manifest would have reported."""

_WIDTH = 200
"""Characters of a raw row that are shown."""


def keep(stage: epath.Path, report: dict[str, Any]) -> epath.Path:
    """Saves the rejected rows of a dataset that will not be; returns where they lie."""
    directory = _without_dataset(artifact.target_of(stage))
    if directory.exists():
        directory.rmtree()
    directory.mkdir(parents=True)
    for part in (stage / "rejected").iterdir():
        part.copy(directory / part.name)
    (directory / _REPORT).write_text(json.dumps(report, indent=1) + "\n")
    return directory


def read(directory: epath.Path, begin: str = "") -> Iterator[dict[str, Any]]:
    """All rejected rows in a directory: {"file", "row", "reason", "raw"}, in the files' order;
    those alone of the files whose names have this `begin`."""
    parts = directory.iterdir() if directory.exists() else ()
    yield from _read(
        sorted(part for part in parts if part.suffix == ".jsonl" and part.name.startswith(begin))
    )


def _read(parts: Iterable[epath.Path]) -> Iterator[dict[str, Any]]:
    for part in parts:
        with part.open() as lines:
            yield from map(json.loads, lines)


def line(row: dict[str, Any]) -> str:
    """One rejected row in one line."""
    raw = json.dumps(row["raw"], ensure_ascii=False)
    shown = raw if len(raw) <= _WIDTH else f"{raw[:_WIDTH]}…"
    return f"{row['file']}, row {row['row']}, {row['reason']}: {shown}"


def show(target: epath.Path, *, samples: int, reason: str | None) -> str:
    """Counts, and the first rows of each reason.

    Args:
      target: the dataset's directory, committed or not.
      samples: rows to show of each reason.
      reason: shows only the reasons that contain this text.

    Raises:
      DataError: no such dataset and no rejected rows of it, or no such reason.
    """
    report, parts = _find(target)
    counts, first = collections.Counter(), collections.defaultdict(list)
    for row in _read(parts):
        found = row["reason"]
        counts[found] += 1
        if len(first[found]) < samples:
            first[found].append(row)
    chosen = [found for found in sorted(counts) if reason is None or reason in found]
    if counts and not chosen:
        raise DataError(f"no row was rejected with {reason!r}; the reasons are {sorted(counts)}")
    lines = [_head(target, report)]
    for found in chosen:
        lines += ["", f"{found}: {counts[found]:,}"]
        lines += [f"  {line(row)}" for row in first[found]]
    return "\n".join(lines)


def _find(target: epath.Path) -> tuple[dict[str, Any], list[epath.Path]]:
    """A dataset's report, and the files of its rejected rows."""
    if artifact.exists(target):
        manifest = artifact.read_manifest(target, "dataset")
        paths = sorted((file.path for file in manifest.files), key=artifact.place)
        rejected = [path for path in paths if artifact.place(path).startswith("rejected/")]
        return manifest.details["report"], [artifact.resolve(target, path) for path in rejected]
    directory = _without_dataset(target)
    if not (directory / _REPORT).exists():
        raise DataError(f"there is no dataset {target}; `podway data` builds it")
    parts = sorted(part for part in directory.iterdir() if part.suffix == ".jsonl")
    return json.loads((directory / _REPORT).read_text()), parts


def kept(target: epath.Path) -> bool:
    """Whether a job that should have written `target` rejected too many rows, and kept some."""
    return (_without_dataset(target) / _REPORT).exists()


def _without_dataset(target: epath.Path) -> epath.Path:
    return target.parent / f"_rejected-{target.name}"


def _head(target: epath.Path, report: dict[str, Any]) -> str:
    rejected = sum(report["rejected"].values())
    parts = [f"{report['rows']:,} rows", f"{report['kept']:,} kept"]
    parts += [f"{count:,} filtered by {rule}" for rule, count in report["filtered"].items()]
    parts += [f"{rejected:,} rejected"]
    kind = "dataset" if artifact.exists(target) else "no dataset, too many rejected:"
    return f"{kind} {target}\n{', '.join(parts)}"
