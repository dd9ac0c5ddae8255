"""`podway queue`: what waits for whom, and the dead."""

from __future__ import annotations

import dataclasses

from podway.framework.error import check
from podway.launch.verbs.verb import Stage, Verb

_VALUE = 100
"""Bytes of a message that are shown."""


@dataclasses.dataclass(frozen=True)
class Options(Stage):
    """An experiment, and what is asked of its queue."""

    dead: int = 0
    """Show so many of the dead messages, and why they are dead."""
    revive: bool = False
    """Publish the dead again, to where they belong: what they died of is mended now."""
    rewind: str = ""
    """Name of a group that begins again at --since; its services must have ended."""
    since: float = 0.0
    """Seconds since 1970; 0: the first that is kept."""
    offsets: tuple[str, ...] = ()
    """In place of a time PARTITION:OFFSET, one or several; other partitions stay where they are."""


_MORE = """

Without options: topics, their groups, and how many messages wait for each. -1: the queue does not
say. Dead are messages that are no events, and those whose service failed `online.queue.attempts`
times; the reason stands beside each."""


def queue(options: Options) -> None:
    """Prints, revives or rewinds."""
    import contextlib

    from podway.online.queue import dead, revival
    from podway.online.queue import open as queues

    check(options.dead >= 0, f"--dead is {options.dead}; give 0 or more")
    check(
        options.rewind != "" or options.since == 0,
        "--since is given without --rewind; name the group that begins again, --rewind GROUP",
    )
    check(options.since >= 0, f"--since is {options.since}; give seconds since 1970")
    check(
        not options.offsets or (options.rewind != "" and options.since == 0),
        "--offsets is in place of --since, and goes with --rewind GROUP",
    )
    offsets = dict(map(_place, options.offsets))
    online = options.experiment.online
    topics = online.topics
    folder = f"{options.workdir.rstrip('/')}/online/{options.experiment.name}"
    with contextlib.closing(queues.opened(online.queue, topics, folder)) as opened:
        if options.rewind:
            opened.rewind(options.rewind, topics.events, offsets or options.since)
            where = " ".join(options.offsets) or f"{options.since:g}"
            print(f"group {options.rewind} of {topics.events} begins again at {where}")
        if options.revive:
            done = revival.revive(opened, topics.dead)
            for topic, count in sorted(done.topics.items()):
                print(f"{count:,} published to {topic} again")
            print(done.left or "no more are dead")
        for message in revival.shown(opened, topics.dead, options.dead) if options.dead else []:
            told = message.headers
            print(
                f"{told.get(dead.TOPIC, '?')} {told.get('podway-id', message.id)}, by group"
                f" {told.get(dead.GROUP, '?')}: {told.get(dead.REASON, 'no reason')}\n"
                f"  key {message.key!r}, {message.value[:_VALUE]!r}"
            )
        if not (options.rewind or options.revive or options.dead):
            for topic in (topics.events, topics.dead):
                print(topic)
                for group, waiting in sorted(opened.lags(topic).items()):
                    print(f"  {group:<24} {waiting:>12,}")


def _place(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition(":")
    check(
        partition.isdecimal() and offset.isdecimal(),
        f"--offsets {text}: give PARTITION:OFFSET, two whole numbers such as 0:1200",
    )
    return int(partition), int(offset)


VERB = Verb(
    "what waits in the queue, for whom, and the dead",
    Options,
    queue,
    more=_MORE,
    example="podway queue movielens_sasrec --dead 10",
    without_model=True,
)
