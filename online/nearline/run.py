"""A nearline service, from its config to its end."""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable
from typing import Literal

from prometheus_client.registry import CollectorRegistry

from podway.framework.config import online as config
from podway.online.error import OnlineError
from podway.online.nearline.apply import Writer
from podway.online.nearline.metrics import metrics
from podway.online.nearline.nearline import Service
from podway.online.queue import open as queues
from podway.online.store import open as stores


@dataclasses.dataclass(frozen=True)
class Options:
    """Of a service.

    Attributes:
      online: queue, store, and what is kept and counted.
      name: of the experiment.
      workdir: where online/NAME is.
      duplicates: data.duplicates of the experiment.
      replay: a group of its own, which reads from the queue's beginning; "": the config's group.
      since: seconds since 1970: messages that were published before are passed over.
      drain: whether it ends when nothing waits any more.
    """

    online: config.Online
    name: str
    workdir: str
    duplicates: Literal["keep", "drop"] = "keep"
    replay: str = ""
    since: float = 0.0
    drain: bool = False


def run(
    options: Options,
    stop: threading.Event,
    registry: CollectorRegistry,
    told: Callable[[Service], None] = lambda service: None,
) -> None:
    """Runs until `stop` is set, or nothing waits any more; what was polled by then is done.

    Args:
      options: of the service.
      stop: asks for the end.
      registry: gets its metrics.
      told: gets the service, once it has its queue and its store.

    Raises:
      OnlineError: queue or store are not to be had.
    """
    nearline, topics = options.online.nearline, options.online.topics
    if options.replay == nearline.group:
        raise OnlineError(
            f"--replay is {options.replay!r}, the group of the service itself; give another name"
        )
    folder = os.path.join(options.workdir, "online", options.name)
    with (
        stores.opened(options.online.store, options.workdir, options.name) as store,
        contextlib.closing(queues.opened(options.online.queue, topics, folder)) as queue,
        contextlib.ExitStack() as stack,
    ):
        if options.replay and queue.forgets:
            raise OnlineError(f"--replay {options.replay} finds nothing: {queue.forgets}")
        group = options.replay or nearline.group
        consumer = stack.enter_context(contextlib.closing(queue.consumer(group, topics.events)))
        writer = Writer(store, nearline, options.duplicates)
        told_of = metrics(registry)
        service = Service(
            consumer, store, nearline, writer, told_of, options.online.events, options.since
        )
        told(service)
        service.run(stop, drain=options.drain)
