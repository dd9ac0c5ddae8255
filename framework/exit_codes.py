"""How the `podway` command ends, in numbers that schedulers and supervisors act on.

The one table of them. Under a Kubernetes Job, a pod that ends with 0 is done, even while it is
being deleted: so 0 is kept for what is complete. A process that a signal ends has no code of ours:
a shell and Kubernetes say 128 + the signal's number (137: SIGKILL, which is also how Linux ends
what is out of memory), and a restart may help.
"""

import dataclasses
import errno
import os
import re
import types
from collections.abc import Mapping

COMPLETE = 0
REFUSED = 1
MISUSED = 2
NOT_PASSED = 3
PREEMPTED = 42
CRASHED = 70
LOST = 75
INTERRUPTED = 130
UNREAD = 128 + 13  # what a shell says of a command that SIGPIPE ended


@dataclasses.dataclass(frozen=True)
class Ending:
    """What an exit code means.

    Attributes:
      meaning: in words.
      restart: whether the same command, started again by itself, may get further.
      counted: whether such a restart uses up a budget of restarts.
    """

    meaning: str
    restart: bool = False
    counted: bool = True


ENDINGS: Mapping[int, Ending] = types.MappingProxyType(
    {
        COMPLETE: Ending("complete"),
        REFUSED: Ending("the user must mend something: config, data, rights, space, memory"),
        MISUSED: Ending("the command line was not understood"),
        NOT_PASSED: Ending("a version was judged, and did not pass its gate"),
        PREEMPTED: Ending(
            "asked to end (SIGTERM): what is done is saved, the same command goes on from there",
            restart=True,
            counted=False,
        ),
        CRASHED: Ending("an unexpected error, with a traceback", restart=True),
        LOST: Ending("another process of the run failed or was lost", restart=True),
        INTERRUPTED: Ending("interrupted by a person (Ctrl-C)"),
        UNREAD: Ending("nobody reads any more what it prints"),
    }
)
"""Exit code → what it means. What is not in it may be tried again, and counts."""

HOPELESS = tuple(
    code for code, ending in ENDINGS.items() if code != COMPLETE and not ending.restart
)
"""The codes after which a restart would end the same way, or is not wanted."""


_MENDABLE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP),
    *(errno.EADDRINUSE, errno.EADDRNOTAVAIL),
}
"""What the operating system says of what the user must mend: no room, no right, no such path. The
rest (a connection that broke, a disk that fails) may be over at the next try."""
_KINDS = (
    FileNotFoundError,
    PermissionError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
)


_NO_ROOM_OR_RIGHT = tuple(
    os.strerror(each)
    for each in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)
)
"""What libraries that write files (ArrayRecord, TensorStore, TensorFlow) quote of the operating
system, in errors of their own kinds."""
_DENIED = re.compile(r"^Forbidden: |PERMISSION_DENIED|^Google Cloud Storage: 40[13] ")
"""What storage says to somebody without rights: gcsfs, TensorStore, we of Google's client."""


def of(error: BaseException) -> int:
    """The exit code after an error: the one it says (`exit_code`), or by its kind."""
    said = getattr(error, "exit_code", None)
    if isinstance(said, int):
        return said
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, OSError) and (error.errno in _MENDABLE or isinstance(error, _KINDS)):
        return REFUSED
    if is_out_of_memory(error) or is_denied(error) or no_room_or_right(error):
        return REFUSED
    return CRASHED


def no_room_or_right(error: BaseException) -> str:
    """The line of an error in which a library quotes why it could not write; "" without one."""
    lines = str(error).splitlines()
    return next((line for line in lines if any(each in line for each in _NO_ROOM_OR_RIGHT)), "")


def is_denied(error: BaseException) -> bool:
    """Whether storage has refused it, which has no number of the operating system."""
    stored = isinstance(error, OSError | ValueError | RuntimeError)
    return stored and _DENIED.search(str(error)) is not None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device's memory did not hold a program: it won't the next time either."""
    return type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError") and (
        "RESOURCE_EXHAUSTED" in str(error)
    )


def ending(code: int) -> Ending:
    """What an exit code means, also one that is not ours."""
    return ENDINGS.get(code, Ending(f"exit code {code}", restart=True))
