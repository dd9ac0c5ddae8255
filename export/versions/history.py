"""What was served of a model, and when: models/NAME/history.jsonl, one entry a line, oldest first.

An entry is written before models.config is, as what will be done. Whether it was done the config
tells: a last entry whose `before` is what the config still says was cut short, and is passed over
and then overwritten. So whatever kills a command between two writes leaves a history that is true.
An entry that leaves the config as it is took place when it was written: requests without a label go
from the version of one label to the version of another, say.
"""

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import Literal

from etils import epath

from podway.export import layout
from podway.export.error import ExportError
from podway.export.versions.models_config import Served
from podway.framework import artifact

Action = Literal["export", "load", "promote", "rollback"]


@dataclasses.dataclass(frozen=True)
class Entry:
    """A change to what is served.

    Attributes:
      when: UTC, ISO 8601.
      action: what was asked for; "load" is the first half of the move of a label.
      label: that moved; "" stands for what requests without a label get.
      origin: the version that it was at; None: there was none.
      target: the version that it went to; None: the label was taken away.
      before: what models.config said of the model.
      after: what it said from then on.
      gate: "passed", or "forced" past it; "": the version has no gate, or was not asked for it.
    """

    when: str
    action: Action
    label: str
    origin: int | None
    target: int | None
    before: Served
    after: Served
    gate: str = ""


def entry(
    action: Action,
    label: str,
    origin: int | None,
    target: int | None,
    before: Served,
    after: Served,
    gate: str = "",
) -> Entry:
    """An entry of this moment."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Entry(now, action, label, origin, target, before, after, gate)


def read(home: epath.Path, current: Served) -> tuple[Entry, ...]:
    """The changes of a model that took place, given what the config says now.

    Args:
      home: folder of the model.
      current: what the config says of it.

    Raises ExportError that names the line that is no entry.
    """
    path = home / layout.HISTORY
    return _entries(path.read_text(), path, current) if path.exists() else ()


def add(home: epath.Path, entries: Sequence[Entry], step: Entry) -> tuple[Entry, ...]:
    """Writes the step behind these entries, which are all that there are, in one step.

    The caller has the turn (export/versions/turn.py). Raises ExportError where others have written
    meanwhile, which can be on gs:// alone.
    """
    path = home / layout.HISTORY
    text = "".join(
        json.dumps(dataclasses.asdict(entry), ensure_ascii=False, separators=(",", ":")) + "\n"
        for entry in (*entries, step)
    )

    def change(found: str) -> str:
        if _entries(found, path, step.before) != tuple(entries):
            raise ExportError(f"{path} was changed by somebody else meanwhile; try again")
        return text

    if "://" in str(path):
        artifact.exchange(path, change)
    else:
        artifact.write_atomically(path, text)
    return (*entries, step)


def _entries(text: str, path: epath.Path, current: Served) -> tuple[Entry, ...]:
    entries = [
        _parse(line, f"{path}, line {number}") for number, line in enumerate(text.splitlines(), 1)
    ]
    if entries and entries[-1].before == current != entries[-1].after:
        del entries[-1]
    return tuple(entries)


def earlier(entries: Sequence[Entry], label: str) -> tuple[int | None, ...]:
    """Where a label was before, nearest last: to roll back is to go to the last of these.

    Rolling back goes back for good: what it left is not what the next rollback finds. None: the
    label was not there.
    """
    versions: list[int | None] = []
    for entry in entries:
        if entry.label != label or entry.action == "load":
            continue
        if entry.action == "rollback" and versions:
            versions.pop()
        else:
            versions.append(entry.origin)
    return tuple(versions)


def _parse(line: str, where: str) -> Entry:
    try:
        content = json.loads(line)
        before, after = (
            Served(tuple(content[key]["versions"]), content[key]["labels"])
            for key in ("before", "after")
        )
        return Entry(**(content | {"before": before, "after": after}))
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{where} is no entry of a history: {error}") from error
