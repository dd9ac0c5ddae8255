"""Config of what runs while users are there."""

from podway.framework.config.online.events import Events, EventType, Field
from podway.framework.config.online.queue import (
    KafkaQueue,
    PubsubQueue,
    Queue,
    RabbitmqQueue,
    SqliteQueue,
    Topics,
)
from podway.framework.config.online.services import Online
from podway.framework.config.online.store import SqliteStore, Store

__all__ = [
    "EventType",
    "Events",
    "Field",
    "KafkaQueue",
    "Online",
    "PubsubQueue",
    "Queue",
    "RabbitmqQueue",
    "SqliteQueue",
    "SqliteStore",
    "Store",
    "Topics",
]
