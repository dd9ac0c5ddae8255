"""`podway served`: which version answered whom, and when."""

from __future__ import annotations

import dataclasses
import datetime
import json

from podway.framework.error import ConfigError, PodwayError, check
from podway.launch.verbs.verb import Subject, Verb


@dataclasses.dataclass(frozen=True)
class Options:
    """A model, where it lies, and the time that is asked for."""

    model: Subject = ""
    workdir: str = "workdir"
    """Folder of models/."""
    at: str = ""
    """A time, as 2026-11-30T09:00; it is UTC unless it ends with +HH:MM. Without it, now."""
    since: str = ""
    """List what held then, and each change from then on."""
    until: str = ""
    """End of that list; without it, now."""
    json: bool = False
    """Print JSON, for programs."""


_MORE = """

Promotions and rollouts are written down before they take place; this reads what they wrote. Shares
are those of clients that split by the rollout's state; who names a version gets that version."""


def served(options: Options) -> None:
    """Prints what held at a time, or a list of changes."""
    from podway.launch.rollout import served as records

    check(
        not (options.at and (options.since or options.until)),
        "--at asks for one time, --since and --until for a list; give the one or the other",
    )
    found = records.moments(options.model, options.workdir)
    if options.since or options.until:
        start, end = _time(options.since, "--since"), _time(options.until, "--until")
        listed = records.between(found, start, end)
        if options.json:
            print(json.dumps([records.plain(each) for each in listed], indent=1))
            return
        for each in listed:
            shares = ", ".join(
                f"{version}: {share:.2%}" for version, share in sorted(each.shares().items())
            )
            print(f"{each.when.isoformat(timespec='seconds')}  {shares or '–'}  {each.what}")
        return
    now = datetime.datetime.now(datetime.UTC)
    when = _time(options.at, "--at") or now
    check(when <= now, f"--at {options.at} is to come; give a time that has been")
    moment = records.at(found, when)
    if moment is None:
        first = f"; the first is of {found[0].when.isoformat()}" if found else ""
        raise PodwayError(
            f"nothing is known of {options.model} at {when.isoformat()}, before its first"
            f" change{first}"
        )
    if options.json:
        print(json.dumps(records.plain(moment), indent=1))
    else:
        print(records.text(moment, options.model, when))


def _time(text: str, flag: str) -> datetime.datetime | None:
    """A time that was typed; None: none was. Raises ConfigError."""
    if not text:
        return None
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"{flag} is {text!r}, which is no time; give one as 2026-11-30T09:00:00+00:00"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


VERB = Verb(
    "which version answered whom at a time",
    Options,
    served,
    of="MODEL",
    more=_MORE,
    example="podway served movielens_sasrec --at 2026-11-30T09:00 --workdir w",
)
