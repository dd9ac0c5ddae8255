"""Commits on a local disk: a directory is renamed, whole."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator

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


def exchange(path: epath.Path, change: Callable[[str], str | None]) -> None:
    """Replaces the text of a small file by what `change` makes of it, "" standing for no file.

    Nobody else reads or changes it in between. None leaves it as it is.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o664)
        except FileNotFoundError:  # somebody removed the empty folder
            continue
        try:
            with contextlib.suppress(OSError):  # some network file systems lock nothing
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is_at(handle, path):
                continue  # somebody removed it while we waited
            text = os.pread(handle, os.fstat(handle).st_size, 0).decode(errors="replace")
            new = change(text)
            if new == "" or (new is None and not text):
                os.unlink(path)
            elif new is not None:
                content = new.encode()
                os.pwrite(handle, content, 0)
                os.ftruncate(handle, len(content))
                os.fsync(handle)
            return
        finally:
            os.close(handle)


def _is_at(handle: int, path: epath.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
