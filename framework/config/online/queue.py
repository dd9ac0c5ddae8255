"""The queue that joins the services: which one, and where it is."""

import dataclasses

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Queue:
    """Where events wait. Choose one of its kinds."""


@dataclasses.dataclass(frozen=True)
class SqliteQueue(Queue):
    """A file on this machine: no server. One machine, one writer at a time."""

    path: str = ""
    """The file; "": WORKDIR/online/NAME/queue.sqlite."""


@dataclasses.dataclass(frozen=True)
class Topics:
    """Names of the topics, and how wide they are."""

    events: str = "events"
    """What users do, and what they were shown."""
    dead: str = "events-dead"
    """What could not be taken in, each with the reason."""
    partitions: int = 4
    """Of a topic that is created; events of one user are in one of them, in order."""

    def __post_init__(self):
        check(self.partitions >= 1, f"topics.partitions is {self.partitions}; give 1 or more")
