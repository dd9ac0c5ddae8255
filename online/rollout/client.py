"""Asks model servers as a rollout wants it: splits, copies, and writes down what it sees.

    async with client.opened("w/models/m", rpc) as ask:
        answer = await ask.predict(user, {"history": [["i1", "i2"]]})

What a rollout wants stands in a file, which is looked at again and again behind the requests' back.
A request that the new version fails is asked again of the old one: users see no failure of what
they try for us, and it counts all the same.
"""

import asyncio
import collections
import contextlib
import dataclasses
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from etils import epath

from podway.framework.error import PodwayError, check
from podway.online.rollout import split, store
from podway.online.rollout.observation import NOT_FINITE, Observation, Value
from podway.online.rollout.split import Arm, Split
from podway.online.rollout.spool import Spool
from podway.online.servers import answer as answers
from podway.online.servers.answer import Answer, Server, ServerError

_LOG = logging.getLogger(__name__)
_KEYS = 65_536
"""Keys that are remembered, so that each is evidence once."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How a client asks.

    Attributes:
      signature: of the model.
      items: the output that is empty where nothing was found; "": there is none.
      scores: the output whose highest number is watched; "": there is none.
      timeout: seconds for a request.
      again: whether the old version is asked where the new one fails.
      refresh: seconds between two looks at the rollout; a plan's `client_seconds` is to be more.
      copies: that are under way at most; what is beyond is not copied.
      repeats: whether each request of a key is evidence, for a service of few users.
      observations: folder of what is seen, by rollout; "": in the model's.
    """

    signature: str = ""
    items: str = "item"
    scores: str = "score"
    timeout: float = 10.0
    again: bool = True
    refresh: float = 1.0
    copies: int = 100
    repeats: bool = False
    observations: str = ""


@dataclasses.dataclass(frozen=True)
class Given:
    """An answer that was given to a user.

    Attributes:
      outputs: of the model.
      arm: whose answer it is.
      version: the same as a number, where it is known.
      rollout: during which it was given; "": there was none.
    """

    outputs: Mapping[str, Any]
    arm: Arm
    version: int | None
    rollout: str


class Client:
    """Made by `opened`; belongs to an event loop.

    Attributes:
      split: who gets what, as of the last look.
    """

    def __init__(self, home: epath.PathLike, server: Server, options: Options = Options()):
        check(options.refresh > 0, f"refresh is {options.refresh}; give more than 0")
        self._home, self._server, self._options = epath.Path(home), server, options
        self._model = self._home.name
        self.split = Split()
        self._spools: dict[str, Spool] = {}
        self._seen: collections.OrderedDict[tuple[str, str], None] = collections.OrderedDict()
        self._copies: set[asyncio.Task[None]] = set()
        self._leaving = set[str]()
        self._said = ""

    async def predict(
        self,
        key: str,
        inputs: Mapping[str, Any],
        *,
        request: str | None = None,
        timeout: float | None = None,
    ) -> Given:
        """The answer for a key. Raises ServerError: there was none.

        Args:
          key: of whom it is for: a user, a session. It decides on the version.
          inputs: of the model.
          request: what tells this request from others; it decides whether it is copied.
          timeout: seconds for all of it, the old version asked after the new one included; None:
            the options' for each call.
        """
        now = self.split
        end = None if timeout is None else time.monotonic() + timeout
        if not now.rollout:
            # Of a model that never had a rollout there need be no label.
            label = "" if now.stable is None else split.label("stable")
            answer = await self._ask(label, inputs, end)
            return Given(answer.outputs, "stable", answer.version or now.stable, "")
        if now.shadow and now.is_copied(request or f"{time.monotonic_ns()}"):
            self._copy(now, key, inputs)
        arm = now.arm(key)
        try:
            answer = await self._watched(now, arm, key, inputs, end)
        except ServerError:
            if arm == "stable" or not self._options.again:
                raise
            arm, answer = "stable", await self._stable(inputs, end)
        return Given(answer.outputs, arm, answer.version or now.version(arm), now.rollout)

    def value(self, given: Given, value: float) -> None:
        """Says what an answer was worth, 0 included; a plan's `value_most` is the most that counts.

        Raises ConfigError: it is no such number.
        """
        check(
            0 <= value < float("inf"),
            f"the value of an answer is {value}; give a finite number, 0 or more",
        )
        if given.rollout:
            worth = min(1.0, value / self.split.value_most)
            self._spool(given.rollout).put(Value(given.arm, worth))

    async def look(self) -> None:
        """Looks at the rollout once. What cannot be read leaves the split as it was."""
        try:
            self.split = split.of(await asyncio.to_thread(store.read, self._home))
            self._said = ""
        except (PodwayError, OSError) as error:
            if str(error) != self._said:
                self._said = str(error)
                _LOG.error("%s; requests are split as before", error)
        for rollout in [name for name in self._spools if name != self.split.rollout]:
            # What is still under way may have more to say: it is closed at the next look.
            if rollout in self._leaving:
                self._leaving.discard(rollout)
                await asyncio.to_thread(self._spools.pop(rollout).close)
            else:
                self._leaving.add(rollout)

    async def follow(self) -> None:
        """Looks again and again, for ever."""
        while True:
            await asyncio.sleep(self._options.refresh)
            await self.look()

    async def close(self) -> None:
        """Waits for the copies, and writes all that was seen."""
        if self._copies:
            await asyncio.wait(self._copies)
        for spool in self._spools.values():
            await asyncio.to_thread(spool.close)

    async def _stable(self, inputs: Mapping[str, Any], end: float | None) -> Answer:
        return await self._ask(split.label("stable"), inputs, end)

    async def _ask(self, label: str, inputs: Mapping[str, Any], end: float | None) -> Answer:
        how = self._options
        left = how.timeout if end is None else min(how.timeout, end - time.monotonic())
        if left <= 0:
            raise ServerError("DEADLINE_EXCEEDED", "no time is left to ask")
        return await self._server.predict(
            self._model, inputs, signature=how.signature, label=label, timeout=left
        )

    async def _watched(
        self, now: Split, arm: Arm, key: str, inputs: Mapping[str, Any], end: float | None = None
    ) -> Answer:
        """Asks an arm, and writes down what comes."""
        start, how = time.monotonic(), self._options
        repeated = self._is_repeated(now.rollout, arm, key)
        try:
            answer = await self._ask(split.label(arm), inputs, end)
        except ServerError as error:
            seen = Observation(arm, time.monotonic() - start, error.code, repeated=repeated)
            self._spool(now.rollout).put(seen)
            raise
        score = answers.highest(answer, how.scores) if how.scores else None
        seen = Observation(
            arm,
            time.monotonic() - start,
            empty=bool(how.items) and answers.is_empty(answer, how.items),
            score=score,
            repeated=repeated,
        )
        self._spool(now.rollout).put(seen)
        if arm == "canary" and how.again and score is not None and math.isnan(score):
            raise ServerError(NOT_FINITE, "its scores are not all finite numbers")
        return answer

    def _copy(self, now: Split, key: str, inputs: Mapping[str, Any]) -> None:
        """Asks the new version as well, for nobody; does not wait."""
        if len(self._copies) >= self._options.copies:
            return

        async def ask() -> None:
            with contextlib.suppress(ServerError):  # it is written down
                await self._watched(now, "shadow", key, inputs)

        task = asyncio.get_running_loop().create_task(ask())
        self._copies.add(task)
        task.add_done_callback(self._copies.discard)

    def _is_repeated(self, rollout: str, arm: Arm, key: str) -> bool:
        if self._options.repeats:
            return False
        entry = (f"{rollout} {arm}", key)
        known = entry in self._seen
        self._seen[entry] = None
        self._seen.move_to_end(entry)
        if len(self._seen) > _KEYS:
            self._seen.popitem(last=False)
        return known

    def _spool(self, rollout: str) -> Spool:
        if rollout not in self._spools:
            folder = self._options.observations
            place = (
                os.path.join(folder, rollout)
                if folder
                else os.fspath(store.observations(self._home, rollout))
            )
            self._spools[rollout] = Spool(place)
        return self._spools[rollout]


@contextlib.asynccontextmanager
async def opened(
    home: epath.PathLike, server: Server, options: Options = Options()
) -> AsyncIterator[Client]:
    """A client of a model, whose folder is `home`, for the time of a block."""
    client = Client(home, server, options)
    await client.look()
    following = asyncio.get_running_loop().create_task(client.follow())
    try:
        yield client
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await client.close()
