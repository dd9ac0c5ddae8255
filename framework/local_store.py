"""Commits on a local disk: a directory is renamed, whole."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

from etils import epath

from framework.artifact import ArtifactError


def publish(stage: epath.Path, target: epath.Path, manifest: str) -> None:
    """Renames `stage` to `target`; an uncommitted target is removed first.

    Raises:
      ArtifactError: `target` was committed already.
      OSError: the directory cannot be renamed.
    """
    with _locked(target.parent):  # or of two processes one would remove what the other committed
        if (target / manifest).exists():
            raise _too_late(target)
        if target.exists():
            target.rmtree()
        try:
            os.rename(stage, target)
        except OSError as error:  # where the lock does not hold, this decides
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise _too_late(target) from None


def _too_late(target: epath.Path) -> ArtifactError:
    return ArtifactError(f"{target} was committed by somebody else meanwhile")


@contextlib.contextmanager
def _locked(directory: epath.Path) -> Iterator[None]:
    """Holds a lock on a directory; the system releases it when the process ends."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no directory
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
