"""A server that is away, hangs, or comes back: an error in bounded time, and then answers again."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from podway.framework.config import online as config
from podway.framework.error import ConfigError
from podway.online.error import StoreError
from podway.online.store import open as opening
from podway.online.store.open import open_store, opened
from podway.online.store.sqlite import SqliteStore
from podway.online.store.store import STATE, Change
from tests.launch.tracking import postgres
from tests.online.store import servers
from tests.online.store.conftest import content

SECONDS = 0.5
PATIENCE = 4 * SECONDS + 2.5  # libpq takes two seconds at least for a connection


@contextlib.contextmanager
def refused(match: str) -> Iterator[None]:
    """A StoreError, in time."""
    start = time.monotonic()
    with pytest.raises(StoreError, match=match) as caught:
        yield
    assert time.monotonic() - start < PATIENCE
    assert "\n" not in str(caught.value)


def uses(store, match):
    for use in (
        lambda: store.read(STATE, ["a"]),
        lambda: store.write(STATE, {"a": b"2"}),
        lambda: store.compare_and_set(STATE, [Change("a", b"2", None)]),
        lambda: store.delete(STATE, ["b"]),
    ):
        with refused(match):
            use()


def comes_back(store):
    """Without that anybody opens it anew."""
    end = time.monotonic() + 20
    while True:
        try:
            store.write(STATE, {"again": b"1"})
            break
        except StoreError:
            assert time.monotonic() < end
            time.sleep(0.1)
    assert content(store, STATE, "again") == b"1"


def test_redis():
    with servers.redis() as server:
        chosen = config.RedisStore(url=f"redis://127.0.0.1:{server.port}/0", timeout=SECONDS)
        with opened(chosen, "", "") as store:
            store.write(STATE, {"a": b"1"})
            server.pause()
            uses(store, r"Redis at 127.0.0.1:\d+ does not answer: .*(Timeout|timed out|reading)")
            server.resume()
            comes_back(store)
            server.kill()
            uses(store, r"Redis at 127.0.0.1:\d+ does not answer: .*refused")
            with refused(r"refused"):
                open_store(chosen, "", "")
            server.start()
            comes_back(store)
            # What was asked in a pause may have been done after it.
            assert content(store, STATE, "a") in (b"1", b"2")


def test_bigtable(monkeypatch):
    with servers.bigtable() as server:
        monkeypatch.setenv("BIGTABLE_EMULATOR_HOST", f"127.0.0.1:{server.port}")
        chosen = config.BigtableStore("p", "i", timeout=SECONDS)
        with opened(chosen, "", "") as store:
            store.write(STATE, {"a": b"1"})
            server.pause()
            uses(store, r"Bigtable at i/podway-store does not answer: ")
            server.resume()
            comes_back(store)
            server.kill()
            uses(store, r"Bigtable at i/podway-store does not answer: ")
            with refused(r"Bigtable at i/podway-store does not answer: "):
                open_store(chosen, "", "")


def test_postgres():
    with postgres.server() as url:
        chosen = config.PostgresStore(url=url, timeout=SECONDS)
        with opened(chosen, "", "") as store:
            store.write(STATE, {"a": b"1"})
            with opened(chosen, "", "") as other:
                lock_and_use(other, store)
            # All connections that wait in the pool are closed by the server.
            end_all(url)
            assert content(store, STATE, "a") == b"1"
        gone = url
    with refused(r"PostgreSQL at 127.0.0.1, table podway_store does not answer: "):
        open_store(config.PostgresStore(url=gone, timeout=SECONDS), "", "")


def lock_and_use(other, store):
    """Somebody holds the table for longer than one may wait."""
    with other._pool.connection() as connection, connection.transaction():
        connection.execute("LOCK TABLE podway_store IN ACCESS EXCLUSIVE MODE")
        uses(store, r"table podway_store does not answer: canceling statement due to .*timeout")


def end_all(url):
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )


def test_sqlite(tmp_path):
    chosen = config.SqliteStore(timeout=SECONDS)
    with opened(chosen, tmp_path, "shop") as store:
        store.write(STATE, {"a": b"1"})
        path = tmp_path / "online/shop/store.sqlite"
        assert path.exists()
        with contextlib.closing(SqliteStore(str(path))) as other, other._writing():
            assert content(store, STATE, "a") == b"1"  # nobody waits to read
            with refused(r"store.sqlite does not answer: database is locked"):
                store.write(STATE, {"a": b"2"})
        store.write(STATE, {"a": b"2"})
    (tmp_path / "file").write_text("no database " * 1000)
    with refused(r"file does not answer: file is not a database"):
        open_store(config.SqliteStore(path=str(tmp_path / "file")), "", "")
    with refused(r"file/x.sqlite cannot be made: .*; give another online.store.path"):
        open_store(config.SqliteStore(path=str(tmp_path / "file/x.sqlite")), "", "")


def test_what_redis_was_told_outlives_a_kill():
    with servers.redis() as server:
        chosen = config.RedisStore(url=f"redis://127.0.0.1:{server.port}/0")
        with opened(chosen, "", "") as store:
            store.write(STATE, {f"k{at}": b"1" for at in range(100)})
            server.kill()
            server.start()
            assert all(store.read(STATE, [f"k{at}" for at in range(100)]))


def test_a_file_outlives_a_kill(tmp_path):
    """A writer that is killed in the middle of a transaction leaves nothing of it."""
    path = tmp_path / "s.sqlite"
    code = (
        "import os, signal; from podway.online.store.sqlite import SqliteStore\n"
        f"s = SqliteStore({str(path)!r}); s.write('state', {{'a': b'1'}})\n"
        "with s._writing() as c:\n"
        "    s._put(c, 'state', [('a', b'2'), ('b', b'2')], None)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code])
    assert done.returncode == -9
    with opened(config.SqliteStore(path=str(path)), "", "") as store:
        assert content(store, STATE, "a") == b"1"
        assert store.read(STATE, ["b"]) == [None]


def test_a_client_that_is_not_installed_is_named(monkeypatch):
    import builtins

    real = builtins.__import__

    def absent(name, *more):
        if name == "podway.online.store.redis":
            raise ModuleNotFoundError("no", name="redis")
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError, match=r"needs redis: pip install 'podway\[redis\]'"):
        opening.open_store(config.RedisStore(), "", "")
