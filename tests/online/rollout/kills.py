"""Kills what writes into a folder at its first write, at its second, and so on."""

import os
import pathlib
import shutil
import signal
import sys
from collections.abc import Callable

_WRITES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")


def killed(
    before: pathlib.Path,
    folder: pathlib.Path,
    act: Callable[[pathlib.Path], object],
    every: int = 1,
) -> list[pathlib.Path]:
    """Copies of a folder in which `act` was killed at one write after the other; of the last one
    it came to its end."""
    found = []
    for left in range(0, 1000, every):
        home = folder / str(left)
        shutil.copytree(before, home)
        found.append(home)
        if (child := os.fork()) == 0:
            sys.addaudithook(_counting(home, left))
            try:
                act(home)
            except BaseException as error:
                print(error, file=sys.stderr)
                os._exit(1)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if ended != -signal.SIGKILL:
            assert ended == 0
            return found
    raise AssertionError("there is no end of writes")


def _counting(home: pathlib.Path, left: int) -> Callable[[str, tuple], None]:
    remaining = [left]

    def hook(event: str, arguments: tuple) -> None:
        opens = event == "open" and isinstance(arguments[2], int)
        if event in _WRITES or (opens and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            remaining[0] -= str(home) in str(arguments[0])
            if remaining[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook
