"""Config of what runs while users are there."""

from podway.framework.config.online.events import Events, EventType, Field
from podway.framework.config.online.gateway import Access, Budget, Column, Gateway, Guard, Ranker
from podway.framework.config.online.intake import Intake
from podway.framework.config.online.lander import Lander
from podway.framework.config.online.nearline import Nearline, Weight
from podway.framework.config.online.queue import (
    KafkaQueue,
    PubsubQueue,
    Queue,
    RabbitmqQueue,
    SqliteQueue,
    Topics,
)
from podway.framework.config.online.rules import Rules, Where
from podway.framework.config.online.services import Online
from podway.framework.config.online.store import (
    BigtableStore,
    PostgresStore,
    RedisStore,
    SqliteStore,
    Store,
)
from podway.framework.config.online.trial import Arm, Trial

__all__ = [
    "Access",
    "Arm",
    "BigtableStore",
    "Budget",
    "Column",
    "EventType",
    "Events",
    "Field",
    "Gateway",
    "Guard",
    "Intake",
    "KafkaQueue",
    "Lander",
    "Nearline",
    "Online",
    "PostgresStore",
    "PubsubQueue",
    "Queue",
    "RabbitmqQueue",
    "Ranker",
    "RedisStore",
    "Rules",
    "SqliteQueue",
    "SqliteStore",
    "Store",
    "Topics",
    "Trial",
    "Weight",
    "Where",
]
