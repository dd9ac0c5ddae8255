"""Which version answered whom at a moment: from what promotions and rollouts wrote down."""

import bisect
import dataclasses
import datetime
from collections.abc import Mapping, Sequence

from etils import epath

from podway.export import layout
from podway.export.versions import promote
from podway.export.versions.history import Entry
from podway.export.versions.models_config import Served
from podway.online.rollout import store
from podway.online.rollout.state import STABLE, State


@dataclasses.dataclass(frozen=True)
class Moment:
    """What held from one change to the next.

    Attributes:
      when: the change.
      what: in words.
      served: what models.config asked for.
      rollout: where the last rollout stood; None: there had been none.
    """

    when: datetime.datetime
    what: str
    served: Served
    rollout: State | None

    def shares(self) -> Mapping[int, float]:
        """Version → share of the users whose clients split."""
        state, labels = self.rollout, self.served.labels
        if state is not None and not state.is_over and state.share:
            return {state.good: 1 - state.share, state.version: state.share}
        if STABLE in labels:
            return {labels[STABLE]: 1.0}
        highest = self.unlabelled
        return {} if highest is None else {highest: 1.0}

    @property
    def unlabelled(self) -> int | None:
        """The version that requests without a label got: the highest."""
        return max(self.served.versions, default=None)

    @property
    def copied(self) -> float:
        """Share of the requests that were copied to the new version."""
        return self.rollout.shadow if self.rollout is not None else 0.0


def moments(name: str, workdir: epath.PathLike) -> tuple[Moment, ...]:
    """All that is known of a model, oldest first. Raises PodwayError: no such model."""
    _, _, entries = promote.read(name, workdir)
    states = store.history(layout.models(workdir) / name)
    changes: list[tuple[datetime.datetime, Entry | State]] = [
        *((_time(each.when), each) for each in entries),
        *((_time(each.since), each) for each in states),
    ]
    # Promotions note whole seconds, and stay before what a rollout notes in the same second.
    changes.sort(key=lambda each: each[0])
    found, served, rollout = [], Served(), None
    for when, change in changes:
        if isinstance(change, Entry):
            served, what = change.after, _words(change)
        else:
            rollout, what = change, str(change)
        found.append(Moment(when, what, served, rollout))
    return tuple(found)


def at(found: Sequence[Moment], when: datetime.datetime) -> Moment | None:
    """What held at a time; None: that is before anything is known."""
    place = bisect.bisect_right([each.when for each in found], when)
    return found[place - 1] if place else None


def between(
    found: Sequence[Moment], start: datetime.datetime | None, end: datetime.datetime | None
) -> tuple[Moment, ...]:
    """What held at a start, and each change until an end."""
    first = at(found, start) if start else None
    return (
        *((first,) if first else ()),
        *(
            each
            for each in found
            if (start is None or each.when > start) and (end is None or each.when <= end)
        ),
    )


def text(moment: Moment, name: str, when: datetime.datetime) -> str:
    """What held at a time, for people."""
    lines = [f"{name} at {when.isoformat(timespec='seconds')}:"]
    labels: dict[int, list[str]] = {}
    for label, version in moment.served.labels.items():
        labels.setdefault(version, []).append(label)
    for version, share in sorted(moment.shares().items()):
        named = ", ".join(labels.get(version, ())) or "no label"
        lines.append(f"  version {version}  {share:>7.2%} of the users  ({named})")
    others = sorted(set(moment.served.versions) - set(moment.shares()))
    for version in others:
        named = ", ".join(labels.get(version, ())) or "no label"
        copied = f", copies of {moment.copied:.2%} of the requests" if moment.copied else ""
        lines.append(f"  version {version}  loaded  ({named}{copied})")
    lines.append(f"  requests that named no label got version {moment.unlabelled or '–'}")
    lines.append(f"  since {moment.when.isoformat(timespec='seconds')}: {moment.what}")
    return "\n".join(lines)


def plain(moment: Moment) -> dict[str, object]:
    """The same as plain values, for programs."""
    state = moment.rollout
    return {
        "since": moment.when.isoformat(),
        "what": moment.what,
        "shares": {str(version): share for version, share in moment.shares().items()},
        "copied": moment.copied,
        "versions": list(moment.served.versions),
        "labels": dict(moment.served.labels),
        "without_label": moment.unlabelled,
        "rollout": None if state is None else {"name": state.rollout, "phase": state.phase},
    }


def _words(entry: Entry) -> str:
    what = f"label {entry.label}" if entry.label else "requests without a label"
    return f"{entry.action}: {what}: {entry.origin or '–'} → {entry.target or '–'}"


def _time(text: str) -> datetime.datetime:
    found = datetime.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
