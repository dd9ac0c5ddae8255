"""The store of a config, open. A backend's client is imported when its store is the chosen one."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from podway.framework.config import online as config
from podway.framework.error import ConfigError
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
        case config.RedisStore(prefix=prefix, timeout=timeout):
            with _client("redis", "redis"):
                from podway.online.store.redis import RedisStore

            return RedisStore(chosen.address(), prefix, timeout)
        case config.PostgresStore(table=table, connections=connections, timeout=timeout):
            with _client("psycopg", "postgres"):
                from podway.online.store.postgres import PostgresStore

            return PostgresStore(chosen.address(), table, connections, timeout)
        case config.BigtableStore(project, instance, table, timeout):
            chosen.check_named()
            with _client("google", "bigtable"):
                from podway.online.store.bigtable import BigtableStore

            return BigtableStore(project, instance, table, timeout)
    raise TypeError(f"no such store: {chosen}")


@contextlib.contextmanager
def _client(module: str, extra: str) -> Iterator[None]:
    """Raises ConfigError where a backend's client is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in (module, f"{module}_pool"):
            raise
        raise ConfigError(
            f"this online.store needs {error.name}: pip install 'podway[{extra}]'"
        ) from error


@contextlib.contextmanager
def opened(chosen: config.Store, workdir: str | os.PathLike[str], name: str) -> Iterator[Store]:
    """A store, for the time of a block. See open_store."""
    store = open_store(chosen, workdir, name)
    try:
        yield store
    finally:
        store.close()
