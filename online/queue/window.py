"""What a member has of one partition and is not done: delivered, or fetched ahead. In memory.

A message that is delivered again comes from here; no queue is asked for it a second time.
"""

import collections
import itertools

from podway.online.queue.progress import Progress
from podway.online.queue.queue import Received


class Window:
    """Of one partition.

    Attributes:
      progress: how far it is.
    """

    def __init__(self, progress: Progress):
        self.progress = progress
        self._held: collections.deque[Received] = collections.deque()
        self._ahead = 0

    @property
    def ahead(self) -> int:
        """Messages that are here and wait for their delivery, or the next one."""
        return self._ahead

    def __len__(self) -> int:
        return len(self._held)

    def all(self) -> list[Received]:
        """Everything that is here and not done."""
        return list(self._held)

    def add(self, message: Received) -> None:
        """Takes in a message that comes after all that are here."""
        self._held.append(message)
        self._ahead += 1

    def take(self, most: int, now: float) -> list[Received]:
        """The next to be delivered, with their attempts; none that is among the dead."""
        count = self.progress.room(now, min(most, self._ahead))
        if count <= 0:
            return []
        first = len(self._held) - self._ahead
        found = []
        for message in itertools.islice(self._held, first, first + count):
            attempt = self.progress.deliver(message.offset)
            if attempt is not None:
                same = attempt == message.attempt
                found.append(message if same else message._replace(attempt=attempt))
        self._ahead -= count
        return found

    def again(self, offset: int, until: float) -> int:
        """It is delivered again, and what came after it; how often it has failed by now."""
        failed = self.progress.again(offset, until)
        self._rewind()
        return failed

    def trim(self) -> list[Received]:
        """Lets go of what is done; gives it."""
        done = []
        while self._held and self._held[0].offset < self.progress.committed:
            done.append(self._held.popleft())
        self._ahead = min(self._ahead, len(self._held))
        return done

    def _rewind(self) -> None:
        position = self.progress.position
        held = reversed(self._held)
        self._ahead = sum(1 for _ in itertools.takewhile(lambda m: m.offset >= position, held))
