"""Files that are written once: there or not, never half, never replaced."""

import contextlib
import os
import pathlib
import uuid

from etils import epath


def create(path: epath.PathLike, content: bytes) -> bool:
    """Writes a file that is not there, with the folders above it; False where it is there already.

    When it returns, the file outlasts a power cut. Of several processes that write it exactly one
    succeeds. On gs:// an object appears whole; on a disk a name is given to a file that is whole.

    Raises OSError.
    """
    place = os.fspath(path)
    if place.startswith("gs://"):
        from podway.framework.artifact import gcs  # needs the extra `gcs`

        return gcs.create(place, content)
    if "://" in place:
        raise OSError(f"{place}: such files are written to local folders and to gs:// only")
    return _create(pathlib.Path(place), content)


def _create(path: pathlib.Path, content: bytes) -> bool:
    _make(path.parent)
    temporary = path.parent / f".{path.name}-{uuid.uuid4().hex[:8]}"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename it replaces nothing
        except FileExistsError:
            return False
        finally:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _make(folder: pathlib.Path) -> None:
    """Makes a folder and those above it, and has the disk know each."""
    if folder.is_dir():
        return
    _make(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    sync(folder.parent)


def sync(folder: pathlib.Path) -> None:
    """Has the disk know which names a folder holds."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
