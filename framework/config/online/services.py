"""The services that run while users are there, and what joins them."""

import dataclasses

from podway.framework.config.online.events import Events
from podway.framework.config.online.gateway import Gateway
from podway.framework.config.online.lander import Lander
from podway.framework.config.online.nearline import Nearline
from podway.framework.config.online.queue import Queue, SqliteQueue, Topics
from podway.framework.config.online.store import SqliteStore, Store
from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Online:
    """Queue, store, and the services on them."""

    queue: Queue = SqliteQueue()
    """Where events wait."""
    topics: Topics = Topics()
    """Names of the queue's topics."""
    events: Events = Events()
    """What events may say, and what is refused at the door."""
    store: Store = SqliteStore()
    """Where histories and features are."""
    nearline: Nearline = Nearline()
    """What the store is told of events."""
    lander: Lander = Lander()
    """Events → files that training reads."""
    gateway: Gateway = Gateway()
    """The service that answers users."""

    def __post_init__(self):
        for name in self.nearline.types:
            check(
                self.events.find(name) is not None,
                f"online.nearline.types has {name!r}, and online.events.types does not: add it to"
                " these, or leave it out",
            )
        for name in self.gateway.intake.types:
            check(
                self.events.find(name) is not None,
                f"online.gateway.intake.types has {name!r}, and online.events.types does not: add"
                " it to these, or leave it out",
            )
