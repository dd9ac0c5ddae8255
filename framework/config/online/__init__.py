"""Config of what runs while users are there."""

from podway.framework.config.online.queue import Queue, SqliteQueue, Topics
from podway.framework.config.online.services import Online
from podway.framework.config.online.store import (
    BigtableStore,
    PostgresStore,
    RedisStore,
    SqliteStore,
    Store,
)

__all__ = [
    "BigtableStore",
    "Online",
    "PostgresStore",
    "Queue",
    "RedisStore",
    "SqliteQueue",
    "SqliteStore",
    "Store",
    "Topics",
]
