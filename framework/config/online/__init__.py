"""Config of what runs while users are there."""

from podway.framework.config.online.lander import Lander
from podway.framework.config.online.queue import Queue, SqliteQueue, Topics
from podway.framework.config.online.services import Online
from podway.framework.config.online.store import SqliteStore, Store

__all__ = ["Lander", "Online", "Queue", "SqliteQueue", "SqliteStore", "Store", "Topics"]
