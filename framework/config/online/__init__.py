"""Config of what runs while users are there."""

from podway.framework.config.online.gateway import Access, Budget, Column, Gateway, Guard, Ranker
from podway.framework.config.online.queue import Queue, SqliteQueue, Topics
from podway.framework.config.online.rules import Rules, Where
from podway.framework.config.online.services import Online
from podway.framework.config.online.store import SqliteStore, Store
from podway.framework.config.online.trial import Arm, Trial

__all__ = [
    "Access",
    "Arm",
    "Budget",
    "Column",
    "Gateway",
    "Guard",
    "Online",
    "Queue",
    "Ranker",
    "Rules",
    "SqliteQueue",
    "SqliteStore",
    "Store",
    "Topics",
    "Trial",
    "Where",
]
