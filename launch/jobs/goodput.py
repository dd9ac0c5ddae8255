"""What is said now and then of where a launch's time goes, while somebody follows it."""

import queue
import threading
import time
from collections.abc import Callable

from podway.launch.jobs import account
from podway.launch.jobs.account import Account

FIRST = 60.0
"""Seconds until it is said for the first time; then it takes twice as long each time."""
LONGEST = 900.0
"""Seconds between two times, at most."""


class Goodput:
    """Says how far the run has come, and what share of its time that took.

    Nobody waits for the workdir: what it says is read beside, and told at a later look.

    Args:
      say: prints a line.
      first: seconds until the first time.
      longest: seconds between two times, at most.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda text: print(text, flush=True),
        *,
        first: float = FIRST,
        longest: float = LONGEST,
    ):
        self._say, self._pause, self._longest = say, first, longest
        self._due = time.monotonic() + first
        self._asked: threading.Thread | None = None
        self._answers = queue.SimpleQueue[Account | None]()
        self._told: Account | None = None

    def look(self, launch: account.Launch | None) -> None:
        """Tells what was found since the last look, and asks again when it is time.

        `launch`: None: nobody knows when it was submitted.
        """
        while not self._answers.empty():
            found = self._answers.get()
            if found is not None and found != self._told:
                self._say(f"  {found.so_far()}")
                self._told = found
        busy = self._asked is not None and self._asked.is_alive()
        if launch is None or busy or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, self._longest)
        self._asked = threading.Thread(
            target=lambda: self._answers.put(account.of(launch)), daemon=True
        )
        self._asked.start()
