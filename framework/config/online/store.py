"""The online store: which one, and where it is."""

import dataclasses
import os
import re
import urllib.parse

from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Store:
    """Where histories and features of users and items are read while a user waits. Choose one of
    its kinds."""


@dataclasses.dataclass(frozen=True)
class SqliteStore(Store):
    """A file on this machine: no server."""

    path: str = ""
    """The file; "": WORKDIR/online/NAME/store.sqlite."""
    timeout: float = 5.0
    """Seconds that a writer waits for another one at most."""

    def __post_init__(self):
        _check_timeout(self.timeout)


@dataclasses.dataclass(frozen=True)
class RedisStore(Store):
    """Redis or Valkey: all values in its memory."""

    url: str = "redis://127.0.0.1:6379/0"
    """redis://HOST:PORT/DATABASE, rediss:// by TLS, or unix:///FILE. Without a password, which
    would stand in artefacts: the whole url may be in PODWAY_REDIS_URL, and that one counts."""
    prefix: str = "podway"
    """Keys begin with it: a store in a server that has others."""
    timeout: float = 1.0
    """Seconds for a connection, and for an answer."""

    def __post_init__(self):
        _check_timeout(self.timeout)
        _check_address("url", self.url, ("redis", "rediss", "unix"), REDIS)
        check(bool(self.prefix), "online.store.prefix is empty; give a text that keys begin with")

    def address(self) -> str:
        """The url that counts."""
        return os.environ.get(REDIS) or self.url


@dataclasses.dataclass(frozen=True)
class PostgresStore(Store):
    """A table of PostgreSQL."""

    url: str = "postgresql://127.0.0.1/podway"
    """postgresql://USER@HOST/DATABASE. Without a password, which would stand in artefacts: it may
    be in PGPASSWORD, or the whole url in PODWAY_POSTGRES_URL, and that one counts."""
    table: str = "podway_store"
    """Its name, or SCHEMA.NAME; made where there is none."""
    connections: int = 8
    """Of a process at most: as many threads as may ask at once."""
    timeout: float = 2.0
    """Seconds for a connection, and for an answer."""

    def __post_init__(self):
        _check_timeout(self.timeout)
        _check_address("url", self.url, ("postgresql", "postgres"), POSTGRES)
        check(
            re.fullmatch(r"([a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]*", self.table) is not None,
            f"online.store.table is {self.table!r}; give a name of small letters, digits and '_',"
            " or two of them with a point between",
        )
        check(
            self.connections >= 1,
            f"online.store.connections is {self.connections}; give 1 or more",
        )

    def address(self) -> str:
        """The url that counts."""
        return os.environ.get(POSTGRES) or self.url


@dataclasses.dataclass(frozen=True)
class BigtableStore(Store):
    """A table of Bigtable. With BIGTABLE_EMULATOR_HOST in the environment, its emulator's."""

    project: str = ""
    """Google Cloud's project."""
    instance: str = ""
    """Of Bigtable, in the project."""
    table: str = "podway-store"
    """Its id; made where there is none, which takes the right to do so."""
    timeout: float = 2.0
    """Seconds for an answer."""

    def __post_init__(self):
        _check_timeout(self.timeout)

    def check_named(self) -> None:
        """Raises ConfigError where project or instance is missing, when the store is opened."""
        for field in ("project", "instance", "table"):
            check(
                bool(getattr(self, field)),
                f"online.store.{field} is empty; name Bigtable's {field}",
            )


REDIS, POSTGRES = "PODWAY_REDIS_URL", "PODWAY_POSTGRES_URL"
"""Of the environment: urls with what must not stand in a config."""


def _check_timeout(value: float) -> None:
    check(
        0 < value < float("inf"),
        f"online.store.timeout is {value}; give a number of seconds above 0",
    )


def _check_address(field: str, url: str, schemes: tuple[str, ...], variable: str) -> None:
    parts = urllib.parse.urlsplit(url)
    said = parts._replace(netloc="…").geturl() if "@" in url else url
    check(
        parts.scheme in schemes and "://" in url,
        f"online.store.{field} is {said!r}; give one that begins with"
        f" {' or '.join(f'{scheme}://' for scheme in schemes)}",
    )
    check(
        parts.password is None,
        f"online.store.{field} has a password, which would stand in artefacts: leave it out, and"
        f" give the whole {field} in {variable}",
    )
