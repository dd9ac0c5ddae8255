"""The store of a config, open. A backend's client is imported when its store is the chosen one."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from podway.framework.config import online as config
from podway.online.store.store import Store


def open_store(chosen: config.Store, workdir: str | os.PathLike[str], name: str) -> Store:
    """Opens a store; who opens it closes it.

    Args:
      chosen: the config's `online.store`.
      workdir: where the file of a store in a file lies, unless its config says where.
      name: of the experiment.

    Raises:
      StoreError: it is not there, does not answer, or another format wrote it.
      ConfigError: its client is not installed.
    """
    match chosen:
        case config.SqliteStore(path=path, timeout=timeout):
            from podway.online.store.sqlite import SqliteStore

            default = pathlib.Path(workdir) / "online" / name / "store.sqlite"
            return SqliteStore(path or str(default), timeout)
    raise TypeError(f"no such store: {chosen}")


@contextlib.contextmanager
def opened(chosen: config.Store, workdir: str | os.PathLike[str], name: str) -> Iterator[Store]:
    """A store, for the time of a block. See open_store."""
    store = open_store(chosen, workdir, name)
    try:
        yield store
    finally:
        store.close()
