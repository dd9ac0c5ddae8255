"""Who is alive of a group: who looked lately, and whose process still holds its lock.

The lock is the operating system's, on a file of each member beside the queue: it is gone when the
process is, however that ended, so what a dead member held is free at once. The time of the last
look is for those who are there and do nothing.
"""

import fcntl
import os
import pathlib
import uuid


class Lock:
    """Held from when it is made until it is closed, or the process ends."""

    def __init__(self, queue: pathlib.Path):
        self.name = uuid.uuid4().hex
        self._path = _place(queue, self.name)
        self._path.parent.mkdir(exist_ok=True)
        self._file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o666)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        """Gives it back."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)


def ended(queue: pathlib.Path, name: str) -> bool:
    """Whether a member's lock is free: its process is gone."""
    path = _place(queue, name)
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(file)


def share(
    mine: str, members: list[str], owners: dict[int, str | None]
) -> tuple[set[int], set[int]]:
    """Partitions that a member is to take, and those it is to give.

    Each member has as many as any other, or one more; nobody gives what another need not have.

    Args:
      mine: the member.
      members: who is alive, this one too.
      owners: partition → who has it; None: it is free.
    """
    order = sorted(members)
    held = {name: sorted(p for p, owner in owners.items() if owner == name) for name in order}
    least, extra = divmod(len(owners), len(order))
    # Who has most keeps one more: fewest partitions move.
    order.sort(key=lambda name: (-len(held[name]), name))
    due = least + (order.index(mine) < extra)
    have = held[mine]
    if len(have) > due:
        return set(), set(have[due:])
    free = sorted(p for p, owner in owners.items() if owner not in held)
    return set(free[: due - len(have)]), set()


def _place(queue: pathlib.Path, name: str) -> pathlib.Path:
    return queue.parent / f"{queue.name}-members" / name
