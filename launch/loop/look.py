"""Is there something new, and is it time? What the next cycle would be made of."""

import dataclasses
import datetime
from collections.abc import Iterable, Sequence

from podway.beam import extension, plan
from podway.beam.error import DataError
from podway.framework import artifact
from podway.framework.artifact.files import stat
from podway.framework.config import Experiment, Rdatasets
from podway.launch.loop.record import Aside, Cycle


@dataclasses.dataclass(frozen=True)
class News:
    """The raw files, compared with the last dataset.

    Attributes:
      files: the new ones, without those that are set aside.
      exclude: those that are set aside and lie there as they were.
      changed: why the last dataset cannot be extended: a file of it has changed or is gone; "".
      events: about how many events the new files hold, by their sizes; None: nobody knows.
    """

    files: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    changed: str = ""
    events: int | None = None

    def __bool__(self) -> bool:
        return bool(self.files or self.changed)


def look(experiment: Experiment, base: artifact.Manifest | None, asides: Sequence[Aside]) -> News:
    """What is new since the dataset `base`; None: everything.

    Raises DataError: there is no raw file, or two are the same.
    """
    raw = plan.raw_files(experiment.data)
    held = {(each.path, each.identity) for each in asides}
    is_out = [(record["path"], tuple(record["identity"])) in held for record in raw]
    exclude = tuple(record["path"] for record, out in zip(raw, is_out, strict=True) if out)
    kept = [record for record, out in zip(raw, is_out, strict=True) if not out]
    if base is None:
        return News(_paths(kept), exclude)
    try:
        files = _paths(extension.new_files(base, kept))
    except DataError as error:
        return News(_paths(kept), exclude, changed=str(error))
    sized = not isinstance(experiment.data.format, Rdatasets)
    return News(files, exclude, events=_estimate(base, files) if sized else None)


def _paths(records: Iterable[plan.Raw]) -> tuple[str, ...]:
    return tuple(record["path"] for record in records)


def _estimate(base: artifact.Manifest, files: Sequence[str]) -> int | None:
    """Rows of files, if they have as many to the byte as those of a dataset."""
    rows = base.details["report"]["rows"]
    try:
        size = sum(stat(record["path"]).length for record in base.details["raw"])
    except FileNotFoundError:  # moved since: names and content are what counts
        return None
    return round(rows * sum(stat(file).length for file in files) / size) if size else None


def due(
    experiment: Experiment,
    news: News,
    cycles: Sequence[Cycle],
    now: datetime.datetime,
    drift: float | None,
) -> str:
    """Why a cycle should begin, in a few words; "": it should not.

    Args:
      experiment: its `loop` says what starts one.
      news: what is new.
      cycles: those before, which are over.
      now: with its zone.
      drift: the largest PSI of the new files; None: it is not known.
    """
    loop = experiment.loop
    if not news:
        return ""
    if not cycles:
        return "there was no cycle before"
    if news.changed:
        tried = cycles[-1].outcome == "stopped" and cycles[-1].why == news.changed
        return "" if tried else news.changed
    count = f"{len(news.files):,} new file{'s' if len(news.files) > 1 else ''}"
    if not (loop.every or loop.new_events or loop.drift):
        return count
    hours = (now - datetime.datetime.fromisoformat(cycles[-1].began)).total_seconds() / 3600
    if loop.every and hours >= loop.every:
        return f"{count}, and the last cycle began {hours:.1f} hours ago"
    if loop.new_events and news.events is not None and news.events >= loop.new_events:
        return f"about {news.events:,} new events"
    if loop.drift and drift is not None and drift > loop.drift:
        return f"{count} that drifted: PSI {drift:.3f}"
    return ""
