"""Watching a launch on machines until it is over: what changes is said, and what process 0 writes.

Who follows also mends: a process whose machine was restarted is started again, and where one has
failed for good the others are ended, which would wait for it.
"""

import sys
import time
from collections.abc import Callable, Sequence

from podway.launch.targets.error import LaunchError
from podway.launch.targets.machines import status
from podway.launch.targets.machines.control import Control
from podway.launch.targets.machines.launch import Launch
from podway.launch.targets.machines.ssh import UnreachableError
from podway.launch.targets.machines.status import Seen, Status

INTERVAL = 3.0
"""Seconds between looks."""


class Mending:
    """Starts again what is gone.

    Args:
      control: of the launch.
      launch: for a host that knows nothing of it any more.
      coordinator: address of process 0's host, for that one.
    """

    def __init__(self, control: Control, launch: Launch, coordinator: str):
        self._control, self._launch, self._coordinator = control, launch, coordinator
        self._starts: dict[int, int] = {}

    def mend(self, seen: Sequence[Seen], now: Status, say: Callable[[str], None]) -> None:
        """Does what the launch needs, and says it."""
        failed = [each for each in seen if each.state == "failed"]
        waiting = [each.process.number for each in seen if each.state == "running"]
        if failed and waiting and now.phase == "running":
            say(f"{failed[0].process} has failed for good: the others are ended")
            self._control.stop(waiting)
        if failed or now.phase not in ("running", "lost"):
            return
        gone = [
            each
            for each in seen
            if each.state in ("lost", "absent") and status.is_needed(each, now.stage)
        ]
        for each in gone:
            self._again(each, seen, say)

    def _again(self, each: Seen, seen: Sequence[Seen], say: Callable[[str], None]) -> None:
        number = each.process.number
        count = self._starts[number] = self._starts.get(number, 0) + 1
        if count > self._launch.target.max_restarts:
            raise LaunchError(
                f"{each.process} was started again {count - 1} times, and is gone once more; its"
                " machine says why (`dmesg`, `journalctl`)"
            )
        trained = any(one.state == "complete" for one in seen)
        say(f"{each.process} is started again")
        try:
            if each.state == "absent":
                attempt = next(one.record["attempt"] for one in seen if one.record)
                self._control.start(self._launch, self._coordinator, attempt, [number])
            else:
                # Alone it would wait for the others, which have trained.
                done = ("data", "train") if number == 0 and trained else ()
                self._control.again(each.process, done)
        except UnreachableError as error:
            say(f"  {error}")


def until_over(
    control: Control,
    mending: Mending | None = None,
    *,
    process: int = 0,
    say: Callable[[str], None] = lambda text: print(text, flush=True),
    interval: float = INTERVAL,
    besides: Callable[[Sequence[Seen]], None] = lambda _: None,
) -> Status:
    """Follows a launch to its end. An interruption ends the following alone, not the launch.

    Args:
      control: of the launch.
      mending: starts again what is gone; None: it is only said.
      process: whose output is shown.
      say: prints a line.
      interval: seconds between looks.
      besides: what else is done at each look.
    """
    last, said, away, offset = "", set[str](), set[str](), 0
    while True:
        seen = control.look(offset, of=process)
        now = status.of(seen)
        answer = seen[process].answer
        written = answer["log"].splitlines() if answer is not None else []
        offset = answer["offset"] if answer is not None else offset
        for line in written:
            say(line)
        if str(now) != last:
            say(f"launch {control.name}: {now}")
        for line in now.lines:
            if line not in said:
                say(f"  {line}")
        silent = {str(each.process.host) for each in seen if each.answer is None}
        for host in sorted(away - silent):
            say(f"  {host} answers again")
        last, said, away = str(now), set(now.lines), silent
        over = now.over or (mending is None and now.phase in ("lost", "absent"))
        if over and not written:
            return now
        if over:  # there may be more
            continue
        besides(seen)
        if mending is not None:
            mending.mend(seen, now, say)
        time.sleep(interval)


def say_detached(name: str) -> None:
    """What a user reads who stops following."""
    print(
        f"\npodway: no longer followed, {name} goes on; `podway logs {name}` follows again,"
        f" `podway stop {name}` ends it",
        file=sys.stderr,
    )
