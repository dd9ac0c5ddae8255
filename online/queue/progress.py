"""How far one member is in one partition of a queue that has offsets. In memory; no queue in it."""

import dataclasses
from collections.abc import Iterable

from podway.online.queue.queue import Received

_WIDEST = 1024


@dataclasses.dataclass
class Progress:
    """Of a partition.

    A message that is to be delivered again holds its partition: what comes after it is delivered
    after it once more, and commits end before it until it is delivered. So keys stay in order, and
    a service that commits the rest of its batch loses nothing.

    Attributes:
      committed: the first offset that is not done.
      position: the next to be delivered.
      failed: offset → deliveries that were not taken in.
      gone: offsets at `committed` or after it that are among the dead.
      held: the offset that is to be delivered again, until it is.
      until: when the next delivery may be; seconds of the caller's clock.
      width: of what may be under way at a time, where a member before ended in its midst: 1 at
        first, and twice as much after each commit, so that a message that ends processes is found.
    """

    committed: int
    position: int = -1
    failed: dict[int, int] = dataclasses.field(default_factory=dict)
    gone: set[int] = dataclasses.field(default_factory=set)
    held: int | None = None
    until: float = 0.0
    width: int | None = None

    def __post_init__(self):
        self.position = max(self.position, self.committed)

    @property
    def is_plain(self) -> bool:
        """Whether whatever comes next is alive, and comes for the first time."""
        return not self.failed and not self.gone and self.held is None

    def room(self, now: float, most: int) -> int:
        """How many of `most` may be delivered now."""
        if now < self.until:
            return 0
        if self.width is None:
            return most
        return max(0, min(most, self.width - self.position + self.committed))

    def waits(self, offset: int) -> bool:
        """Whether it is neither done nor among the dead."""
        return offset >= self.committed and offset not in self.gone

    def deliver(self, offset: int) -> int | None:
        """The attempt that a delivery is; None: it is among the dead, and is not delivered."""
        self.position = offset + 1
        if offset in self.gone:
            return None
        if self.held is not None and offset >= self.held:
            self.held = None
        return self.failed.get(offset, 0) + 1

    def commit(self, offset: int) -> bool:
        """This one is done and all before it; whether `committed` is another now."""
        target = offset + 1 if self.held is None else min(offset + 1, self.held)
        if target <= self.committed:
            return False
        self.committed = target
        if self.width is not None:
            self.width = 2 * self.width if self.width < _WIDEST else None
        self._pass()
        return True

    def again(self, offset: int, until: float) -> int:
        """It is delivered again, not before `until`; how often its delivery has failed by now."""
        if offset < self.committed:
            return 0
        self.failed[offset] = self.failed.get(offset, 0) + 1
        self.held = offset if self.held is None else min(offset, self.held)
        self.position = min(self.position, self.held)
        self.until = max(self.until, until)
        return self.failed[offset]

    def dead(self, offset: int) -> bool:
        """It is among the dead; whether `committed` is another now."""
        if offset < self.committed:
            return False
        self.gone.add(offset)
        if self.held == offset:
            self.held = None
        before = self.committed
        self._pass()
        return self.committed != before

    def _pass(self) -> None:
        while self.committed in self.gone:
            self.committed += 1
        self.position = max(self.position, self.committed)
        self.gone = {offset for offset in self.gone if offset >= self.committed}
        self.failed = {o: count for o, count in self.failed.items() if o >= self.committed}
        if self.held is not None and self.held < self.committed:
            self.held = None


def delay(first: float, failed: int) -> float:
    """Seconds to the next delivery: twice as long after each failure, a minute at most."""
    return min(60.0, first * 2.0 ** min(failed - 1, 20))


def last(messages: Iterable[Received]) -> dict[int, int]:
    """Partition → the highest offset of messages."""
    found: dict[int, int] = {}
    for message in messages:
        found[message.partition] = max(message.offset, found.get(message.partition, -1))
    return found
