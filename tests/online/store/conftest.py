"""A real store of each kind: servers for the session, an empty store for each test."""

import itertools
import os
from collections.abc import Iterator

import pytest

from podway.framework.config import online as config
from podway.online.store.memory import MemoryStore
from podway.online.store.open import open_store
from podway.online.store.store import Store
from tests.launch.tracking import postgres
from tests.online.store import servers

_NUMBER = itertools.count(1)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.Server]:
    with servers.redis() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture(scope="session")
def bigtable_server() -> Iterator[servers.Server]:
    with servers.bigtable() as server:
        os.environ["BIGTABLE_EMULATOR_HOST"] = f"127.0.0.1:{server.port}"
        try:
            yield server
        finally:
            del os.environ["BIGTABLE_EMULATOR_HOST"]


def configured(kind: str, request: pytest.FixtureRequest) -> config.Store:
    """The config of an empty store."""
    number = next(_NUMBER)
    match kind:
        case "sqlite":
            folder = request.getfixturevalue("tmp_path")
            return config.SqliteStore(path=str(folder / "store.sqlite"), timeout=20.0)
        case "redis":
            port = request.getfixturevalue("redis_server").port
            url = f"redis://127.0.0.1:{port}/0"
            return config.RedisStore(url=url, prefix=f"test{number}", timeout=20.0)
        case "postgres":
            url = request.getfixturevalue("postgres_url")
            return config.PostgresStore(url=url, table=f"store{number}", timeout=20.0)
        case "bigtable":
            request.getfixturevalue("bigtable_server")
            return config.BigtableStore("p", "i", f"store-{number}", timeout=20.0)
    raise AssertionError(kind)


KINDS = ("sqlite", "redis", "postgres", "bigtable")


@pytest.fixture(params=KINDS)
def chosen(request):
    """A config of each kind whose store is empty."""
    return configured(request.param, request)


@pytest.fixture(params=("memory", *KINDS))
def store(request):
    """A store of each kind, open and empty."""
    if request.param == "memory":
        opened = MemoryStore()
    else:
        opened = open_store(configured(request.param, request), "", "")
    yield opened
    opened.close()


def content(store: Store, kind: str, key: str) -> bytes:
    """Of a value that is there."""
    [value] = store.read(kind, [key])
    assert value is not None, key
    return value.content
