"""Commits on a local disk: a directory is renamed, whole."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

from etils import epath

from podway.framework.artifact import manifest as manifests


def publish(stage: epath.Path, target: epath.Path, manifest: str) -> None:
    """Renames `stage` to `target`; an uncommitted target is removed first.

    Raises:
      ArtifactError: `target` was committed already, from another stage.
      OSError: the directory cannot be renamed.
    """
    with _locked(target.parent):  # or of two processes one would remove what the other committed
        if manifests.published(stage, target, manifest=manifest):
            return
        if target.exists():
            target.rmtree()
        try:
            os.rename(stage, target)
        except OSError as error:  # where the lock does not hold, this decides
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise manifests.ArtifactError(
                f"{target} was written by somebody else meanwhile"
            ) from None


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
