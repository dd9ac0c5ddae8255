"""Size and time of change of a file, wherever it lies."""

import os
from typing import NamedTuple

from etils import epath


class Stat(NamedTuple):
    """Of a file.

    Attributes:
      length: bytes.
      mtime: when it was changed: seconds since 1970.
    """

    length: int
    mtime: int


def stat(path: epath.PathLike) -> Stat:
    """What epath's `stat` says, but for the owner.

    It looks for the owner's name, and has none for files of other machines' users, as containers
    and network file systems have them.
    """
    place = os.fspath(path)
    if "://" not in place:
        found = os.stat(place)
        return Stat(found.st_size, int(found.st_mtime))
    remote = epath.Path(path).stat()
    return Stat(remote.length, int(remote.mtime))
