"""One change at a time of what a workdir serves.

models.config has an entry for every model, and each model has its history beside it: who changes
them reads both, decides, and writes both. Between the two nobody else may write, or an entry is
lost. On a disk the turn is the system's lock of a file, and ends with its process; on gs:// it is
an object that is created once and renewed (framework/runs/lock.py).
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator

from etils import epath

from podway.export import layout
from podway.export.error import ExportError

PATIENCE = 180.0
"""Seconds to wait for those who came before; each has it for moments."""
_PAUSE = 0.02
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
"""What a file system says that has none."""


@contextlib.contextmanager
def turn(workdir: epath.PathLike, *, patience: float = PATIENCE) -> Iterator[None]:
    """The time of this block belongs to this one of all who change what the workdir serves.

    May not be nested. Raises ExportError: others have not come to an end in time.
    """
    models = layout.models(workdir)
    with _remote(models, patience) if "://" in str(models) else _local(models, patience):
        yield


@contextlib.contextmanager
def _local(models: epath.Path, patience: float) -> Iterator[None]:
    models.mkdir(parents=True, exist_ok=True)
    # Never removed: who waits for a removed file would wait for another one than who comes later.
    handle = os.open(models / layout.LOCK, os.O_RDWR | os.O_CREAT, 0o664)
    try:
        until = time.monotonic() + patience
        while not _locked(handle):
            if time.monotonic() > until:
                raise ExportError(_busy(models, patience))
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


@contextlib.contextmanager
def _remote(models: epath.Path, patience: float) -> Iterator[None]:
    from podway.framework.runs import lock  # needs nothing of a run

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock.hold(models, "changed", patience=patience))
        except lock.LockedError as error:
            raise ExportError(f"{_busy(models, patience)}: {error}") from error
        yield


def _busy(models: epath.Path, patience: float) -> str:
    return (
        f"another process has been changing what {models} serves for {patience:g} s; wait for it,"
        " or end it, and try again"
    )
