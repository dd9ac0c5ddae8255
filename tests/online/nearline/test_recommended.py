"""What a user has just done is in the next recommendation: queue, nearline, store and gateway."""

import contextlib
import dataclasses
import statistics
import time

from prometheus_client.registry import CollectorRegistry

from podway.framework.config import online as config
from podway.online.events.event import Event
from podway.online.nearline import run
from podway.online.queue import open as queues
from podway.online.service import page
from podway.online.store import open as stores
from tests.online.gateway.gateways import NAME, backend, fill, free_port, running
from tests.online.nearline.test_service import chosen, publish, serving, wait

EVENTS = 20


def test_an_item_that_was_just_taken_is_not_recommended_again(tmp_path):
    """From before the event is published until an answer comes without its item."""
    port = free_port()
    gateway = config.Gateway(
        server=f"127.0.0.1:{port}", budget=config.Budget(seconds=5.0), cache_seconds=1000.0
    )
    online = dataclasses.replace(chosen(), gateway=gateway)
    registry, seconds = CollectorRegistry(), []
    folder = str(tmp_path / "online" / NAME)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(stores.opened(online.store, tmp_path, NAME))
        fill(store, {"u": ["x"]}, popular=[("i1", 1.0)])
        queue = stack.enter_context(
            contextlib.closing(queues.opened(online.queue, online.topics, folder))
        )
        producer = stack.enter_context(contextlib.closing(queue.producer()))
        stack.enter_context(backend(port))
        client = stack.enter_context(running(online, tmp_path))
        options = run.Options(online, NAME, str(tmp_path))
        found = stack.enter_context(serving(options, registry))
        wait(lambda: found and found[0].problem() == page.READY)

        def recommended() -> list[str]:
            answer = client.ask("u", k=5)
            assert answer["source"] in ("model", "cache")
            return [each["item"] for each in answer["items"]]

        for _ in range(EVENTS):
            taken, start = recommended()[0], time.monotonic()
            publish(producer, [Event("play", "u", taken, time.time())])
            wait(lambda taken=taken: taken not in recommended())
            seconds.append(time.monotonic() - start)
    assert statistics.median(seconds) < 1.0, seconds
