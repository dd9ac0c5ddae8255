"""Simulated users: they ask for recommendations, take what pleases them, and go on alone."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from podway.launch.simulation.measure import Visit
from podway.launch.simulation.world import World
from podway.online.events.event import Event

LOOK = 0.95
"""Probability that a user who has not found anything yet looks at one more place of the list."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a user was shown.

    Attributes:
      items: the best first.
      version: of the model that chose them; 0: none did, it is a fallback.
    """

    items: tuple[str, ...]
    version: int


Ask = Callable[[str], Awaitable[Shown]]
"""User → what it is shown. Raises OSError or TimeoutError where there is no answer."""
Tell = Callable[[Sequence[Event]], Awaitable[None]]
"""Takes events; raises OSError where they are not kept, and they are told again then."""


class Visits:
    """Users who come all the time.

    Args:
      world: what pleases them.
      ask: for recommendations.
      tell: what they do.
      rate: visits a second.
      seed: of who comes, and what they do.

    Attributes:
      phase: what visits that begin now belong to.
      changed: whether taste has changed.
      seen: all visits so far, that were answered.
      failed: visits that got no answer.
      told: ids of the events that were kept.
    """

    def __init__(self, world: World, ask: Ask, tell: Tell, rate: float, seed: int = 0):
        self.world, self._ask, self._tell, self._rate = world, ask, tell, rate
        self._draw = np.random.default_rng(seed)
        self.phase, self.changed = "", False
        self.seen: list[Visit] = []
        self.told: list[str] = []
        self.failed = 0
        self._taken: dict[int, list[str]] = {}

    def past(self, now: float, days: float, events: int) -> list[Event]:
        """What each user did alone before anything was recommended, `events` of them in the last
        `days`; in the order of time."""
        found = []
        for user in range(self.world.users):
            times = np.sort(self._draw.uniform(now - days * 86_400, now - 60, events))
            found += [self._alone(user, float(moment)) for moment in times]
        return sorted(found, key=lambda event: event.time)

    async def run(self, stop: asyncio.Event) -> None:
        """Visits until `stop` is set: each begins when it is due, however long others take."""
        began, number = time.monotonic(), 0
        tasks: set[asyncio.Task[None]] = set()
        while not stop.is_set():
            number += 1
            user = int(self._draw.integers(self.world.users))
            tasks.add(asyncio.create_task(self._visit(user)))
            tasks = {task for task in tasks if not _is_over(task)}
            await asyncio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
        await asyncio.gather(*tasks)

    async def _visit(self, user: int) -> None:
        phase, changed, began = self.phase, self.changed, time.monotonic()
        try:
            shown = await self._ask(f"u{user}")
        except (OSError, TimeoutError) as error:
            self.failed += 1
            print(f"  a visit failed: {error}", flush=True)
            return
        seconds = time.monotonic() - began
        item = self._found(user, shown.items, changed)
        self.seen.append(Visit(user, phase, shown.version, bool(item), seconds))
        events = [self._event("play", user, item, time.time())] if item else []
        events.append(self._alone(user, time.time()))
        while True:
            try:
                await self._tell(events)
            except OSError:
                await asyncio.sleep(0.5)
            else:
                self.told += [event.id for event in events]
                return

    def _found(self, user: int, items: Sequence[str], changed: bool) -> str:
        """What the user takes of a list; "": nothing."""
        taken = self._taken.get(user, [])
        for item in items:
            pleasure = 0.0 if item in taken else self.world.pleasure(user, item, changed)
            if self._draw.random() < pleasure:
                return item
            if self._draw.random() > LOOK:
                return ""
        return ""

    def _alone(self, user: int, moment: float) -> Event:
        taken = self._taken.get(user, [])
        last = taken[-1] if taken else ""
        item = self.world.choice(user, last, frozenset(taken), self.changed, self._draw)
        return self._event("play", user, item, moment)

    def _event(self, kind: str, user: int, item: str, moment: float) -> Event:
        self._taken.setdefault(user, []).append(item)
        return Event(kind, f"u{user}", item, moment)


def _is_over(task: asyncio.Task[None]) -> bool:
    """Whether it is; raises what it ended by."""
    if task.done():
        task.result()
    return task.done()
