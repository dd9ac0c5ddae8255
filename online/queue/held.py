"""What a member of a queue without offsets has in its hands: partitions counted by itself.

Pub/Sub and RabbitMQ know single messages and forget what is done. Here each delivery gets a place
in a partition of its own counting, so that commits, retries and the order of keys are as
elsewhere; a message that is to come again comes from memory, while the queue thinks it is still at
work.
"""

import time
from collections.abc import Callable, Iterable

from podway.online.queue import progress
from podway.online.queue.dead import Policy
from podway.online.queue.progress import Progress
from podway.online.queue.queue import Received, partition_of
from podway.online.queue.window import Window


class Held:
    """Messages of a member, by partition.

    Args:
      partitions: that keys are spread over.
      policy: when a message is dead.
    """

    def __init__(self, partitions: int, policy: Policy):
        self._partitions, self._policy = partitions, policy
        self._windows: dict[int, Window] = {}
        self._next: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._windows.values()))

    def count(self, index: int) -> int:
        """Messages of a partition."""
        return len(self._windows.get(index, ()))

    @property
    def blocked(self) -> bool:
        """Whether something waits here for its next delivery."""
        return any(window.ahead for window in self._windows.values())

    def add(self, message: Received) -> None:
        """Takes in a message; its partition and offset are counted here, and its attempt is what
        the queue says of it."""
        index = partition_of(message.key, self._partitions)
        offset = self._next.get(index, 0)
        self._next[index] = offset + 1
        if (window := self._windows.get(index)) is None:
            window = self._windows[index] = Window(Progress(offset))
        if message.attempt > 1:
            window.progress.failed[offset] = message.attempt - 1
        window.add(message._replace(partition=index, offset=offset))

    def take(self, most: int) -> list[Received]:
        """The next to be delivered."""
        found: list[Received] = []
        now = time.monotonic()
        for window in self._windows.values():
            found += window.take(most - len(found), now)
        return found

    def commit(self, messages: Iterable[Received]) -> list[Received]:
        """What is done by that; the queue is to be told."""
        done = []
        for index, offset in progress.last(messages).items():
            window = self._windows.get(index)
            if window is not None and window.progress.commit(offset):
                done += window.trim()
        return done

    def again(self, message: Received) -> bool:
        """It comes again, later; False: it has had its attempts, and is to be among the dead."""
        if (window := self._windows.get(message.partition)) is None:
            return True
        failed = window.progress.failed.get(message.offset, 0) + 1
        if failed >= self._policy.attempts:
            return False
        until = time.monotonic() + progress.delay(self._policy.seconds, failed)
        window.again(message.offset, until)
        return True

    def dead(self, message: Received, publish: Callable[[], None]) -> list[Received]:
        """It is among the dead once `publish` is done; what else is done by that."""
        window = self._windows.get(message.partition)
        if window is None or not window.progress.waits(message.offset):
            return []
        publish()
        window.progress.dead(message.offset)
        return window.trim()

    def drop(self, index: int) -> list[Received]:
        """Forgets a partition; gives what was not done. Counting goes on behind it."""
        window = self._windows.pop(index, None)
        return window.all() if window else []

    def clear(self) -> list[Received]:
        """Forgets all; gives what was not done."""
        found = [message for window in self._windows.values() for message in window.all()]
        self._windows.clear()
        return found
