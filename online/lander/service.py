"""The lander as a process: its queue, its folder, its page, and its end."""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable

from podway.framework.config import online
from podway.online.error import OnlineError
from podway.online.lander import door
from podway.online.lander.lander import Lander
from podway.online.lander.metrics import metrics
from podway.online.queue import open as queues
from podway.online.service import page


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the lander works.

    Attributes:
      root: folder of the shards.
      port: of its page.
    """

    root: str
    port: int


def root(config: online.Lander, folder: str) -> str:
    """The folder of the shards; `folder` is WORKDIR/online/NAME."""
    return config.path or f"{folder.rstrip('/')}/landed"


def run(
    config: online.Online,
    folder: str,
    host: str,
    port: int,
    stop: threading.Event,
    told: Callable[[Place], None] = lambda _: None,
    *,
    drain: bool = False,
) -> dict[str, int]:
    """Lands until it is asked to stop; how many events, by what became of them.

    Args:
      config: queue, topics, and the lander's own part.
      folder: WORKDIR/online/NAME.
      host: address of the page of health and metrics.
      port: its port; 0: any free one.
      stop: set when it is to end.
      told: is called when it begins.
      drain: whether it ends when nothing waits any more.

    Raises:
      OnlineError: there is no such queue, or nothing can be written to the folder.
    """
    place = root(config.lander, folder)
    _check(place)
    numbers = metrics()
    with contextlib.closing(queues.opened(config.queue, config.topics, folder)) as queue:
        topic = config.topics.events
        lander = Lander(
            queue.consumer(config.lander.group, topic),
            place,
            topic,
            config.lander,
            door.of(config.events),
            numbers,
            queue.offsets,
        )
        with page.page(host, port, numbers.registry, lander.problem) as found:
            told(Place(place, found))
            lander.run(stop, drain=drain)
    return {
        sample.labels["kind"]: int(sample.value)
        for metric in numbers.events.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }


def _check(place: str) -> None:
    """Raises OnlineError where shards could not be written."""
    if "://" in place:
        return
    try:
        os.makedirs(place, exist_ok=True)
    except OSError as error:
        raise OnlineError(
            f"{place} cannot be made ({error.strerror}); give online.lander.path a folder that can"
            " be written"
        ) from None
    if not os.access(place, os.W_OK):
        raise OnlineError(
            f"{place} cannot be written; give online.lander.path a folder that can be"
        )
