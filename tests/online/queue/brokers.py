"""The kinds of queues that the contract is held against, each on ports and folders of its own."""

import abc
import contextlib
import dataclasses
import itertools
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

from podway.framework.config import online
from podway.online.queue import open as queues
from podway.online.queue.queue import Queue
from tests.online.queue import servers

_NUMBERS = itertools.count()


class Broker(abc.ABC):
    """What holds the messages.

    Attributes:
      config: of a queue there.
      keeps: whether a new group is given what others have done.
      rewinds: whether a group can begin again, and where it is told to.
      counts: whether it is shown that deliveries which ended a consumer are counted.
      restarts: whether it is a process of its own, with what it had before on disk.
      kills: how often it is killed under load.
      members: whether it says who reads a group.
      ahead: whether it gives further messages of a key before the first one is committed, and
        messages of several keys of a partition in the order in which they came.
    """

    config: online.Queue
    keeps = rewinds = True
    counts = True
    restarts = True
    kills = 3
    members = True
    ahead = True

    @abc.abstractmethod
    def start(self) -> None:
        """Starts it, with what it had before."""

    @abc.abstractmethod
    def kill(self) -> None:
        """kill -9."""

    def topics(self, partitions: int = 4) -> online.Topics:
        """Topics that nobody has used."""
        name = f"t{next(_NUMBERS)}-{uuid.uuid4().hex[:8]}"
        return online.Topics(name, f"{name}-dead", partitions)

    @contextlib.contextmanager
    def queue(self, topics: online.Topics, **changes: Any) -> Iterator[Queue]:
        """The queue, open for the time of a block."""
        config = dataclasses.replace(self.config, **{"retry_seconds": 0.05} | changes)
        queue = queues.opened(config, topics)
        try:
            yield queue
        finally:
            queue.close()


class Sqlite(Broker):
    """A file."""

    restarts = False

    def __init__(self, folder: pathlib.Path):
        self.config = online.SqliteQueue(path=str(folder / "queue.sqlite"))

    def start(self) -> None:
        """It is always there."""

    def kill(self) -> None:
        """There is nothing to kill."""


class Kafka(Broker):
    """A broker of one process."""

    def __init__(self, folder: pathlib.Path):
        self._server, address = servers.kafka(folder)
        self.config = online.KafkaQueue(servers=address, session_seconds=6, publish_seconds=60)

    def start(self) -> None:
        """Some seconds."""
        self._server.start()

    def kill(self) -> None:
        """Its clients go on and wait for it."""
        self._server.kill()


class Pubsub(Broker):
    """Google's double, which has all in memory."""

    restarts = members = keeps = rewinds = ahead = False
    started = staticmethod(servers.pubsub)

    def __init__(self, folder: pathlib.Path):
        self._server, self._address = self.started(folder)
        self.config = online.PubsubQueue(project="podway-test", ack_seconds=10)

    def start(self) -> None:
        """At once."""
        self._server.start()
        os.environ["PUBSUB_EMULATOR_HOST"] = self._address

    def kill(self) -> None:
        """All is gone."""
        os.environ.pop("PUBSUB_EMULATOR_HOST", None)
        self._server.kill()


class GooglePubsub(Pubsub):
    """The emulator of the Google Cloud CLI."""

    # It gives a message back some minutes after its reader ended: too long to count kills by.
    counts = False
    keeps = ahead = True
    started = staticmethod(servers.google_pubsub)


class Rabbitmq(Broker):
    """A node of one process, which a session of tests starts once: it takes a minute."""

    members = keeps = rewinds = counts = False

    def __init__(self, node: tuple[servers.Server, str]):
        self._server, url = node
        self.config = online.RabbitmqQueue(url=url)

    def start(self) -> None:
        """A minute on a busy machine."""
        self._server.start()

    def kill(self) -> None:
        """Its clients go on and wait for it."""
        self._server.kill()


class RabbitmqStreams(Rabbitmq):
    """The same with what is published kept."""

    members = keeps = rewinds = counts = True
    kills = 1

    def __init__(self, node: tuple[servers.Server, str]):
        super().__init__(node)
        self.config = dataclasses.replace(self.config, keep_hours=1.0)
