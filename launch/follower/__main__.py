"""The process beside a command: reads the folders as they fill, and tells the tracking database.

Its standard input says what there is to tell (launch/tracking/session.py), a JSON object a line:

    {"address": {"uri", "experiment"}, "workdir", "command"}   the first one
    {"follow": RUN}, {"left": RUN, "problem"}                  a training begins, ends
    {"tell": [KIND, FOLDER]}                                   an artefact is there
    {"end": true}                                              the command ends in good order

Where the input ends without the last one, the command was killed: so says the run that it trained.
What it prints are sentences for the user. It has no place in the training's time: it runs when the
processors have nothing else to do.
"""

import contextlib
import json
import os
import select
import sys
import time
from collections.abc import Iterator
from typing import Any

from podway.launch.follower import follow


class Input:
    """Messages from a pipe.

    Attributes:
      ended: whether nobody writes to it any more.
    """

    def __init__(self, handle: int):
        self._handle, self._rest, self.ended = handle, b"", False

    def messages(self, timeout: float | None) -> Iterator[dict[str, Any]]:
        """Those that have come, or come first within so many seconds; None: however long."""
        ready, _, _ = select.select([self._handle], [], [], timeout)
        if not ready:
            return
        part = os.read(self._handle, 65536)
        self.ended = not part
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            yield json.loads(line)


def main() -> None:
    """Reads to the end of its input."""
    with contextlib.suppress(OSError):
        os.nice(19)
    source = Input(sys.stdin.fileno())
    follower, good = None, False
    while not source.ended and not good:
        for message in source.messages(follower.pause if follower else None):
            if follower is None:
                follower = follow.of(message)
                continue
            good |= bool(message.get("end"))
            follower.take(message)
        if follower and not good and not source.ended:
            follower.advance()
    if follower is None:
        return
    if not good:
        follower.killed()
    follower.hurry()
    if not follower.advance():
        time.sleep(1.0)
        follower.hurry()
        follower.advance()


if __name__ == "__main__":
    main()
