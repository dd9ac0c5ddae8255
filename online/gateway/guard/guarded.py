"""A model server behind its breakers and hedges: one of each for every model and label.

So a canary that fails is left alone, and the version beside it is not.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from podway.framework.config.online import Guard
from podway.online.gateway.guard.breaker import Breaker
from podway.online.gateway.guard.hedge import Hedge
from podway.online.servers.answer import Answer, Server, ServerError

LEFT_ALONE = "LEFT_ALONE"
"""The code of what a breaker refuses."""
_OURS = ("INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION", "HTTP 400")
"""Codes of requests that are wrong: the server is well."""


@dataclasses.dataclass
class _Backend:
    breaker: Breaker
    hedge: Hedge


class Guarded:
    """A server as `Server` says; belongs to one event loop.

    Args:
      server: that is asked.
      guard: when it is left alone, when it is asked twice.
      whole: seconds that a call has if its request is in no hurry. One that had less, and was too
        late, says nothing of the server.
    """

    def __init__(self, server: Server, guard: Guard, whole: float):
        self._server, self._guard, self._whole = server, guard, whole
        self._backends: dict[tuple[str, str], _Backend] = {}

    async def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        signature: str = "",
        label: str = "",
        version: int | None = None,
        timeout: float = 10.0,
    ) -> Answer:
        """As `Server.predict`. Raises ServerError with LEFT_ALONE where it is not asked."""
        to = self._of(model, label)
        if timeout <= 0:
            raise ServerError("DEADLINE_EXCEEDED", "no time is left to ask")
        if not to.breaker.may():
            raise ServerError(LEFT_ALONE, f"{model} has failed too often lately; tried again soon")
        try:
            answer = await to.hedge.ask(
                lambda: self._server.predict(
                    model,
                    inputs,
                    signature=signature,
                    label=label,
                    version=version,
                    timeout=timeout,
                )
            )
        except ServerError as error:
            hasty = error.code == "DEADLINE_EXCEEDED" and timeout < 0.9 * self._whole
            to.breaker.done(failed=error.code not in _OURS and not hasty)
            raise
        to.breaker.done(failed=False)
        return answer

    def states(self) -> dict[str, str]:
        """Model, with its label, → state of its breaker."""
        return {
            f"{model}:{label}".rstrip(":"): each.breaker.state
            for (model, label), each in self._backends.items()
        }

    def hedges(self) -> tuple[int, int]:
        """Second calls so far, and those that answered first."""
        each = [backend.hedge for backend in self._backends.values()]
        return sum(hedge.asked for hedge in each), sum(hedge.won for hedge in each)

    def _of(self, model: str, label: str) -> _Backend:
        key = (model, label)
        if key not in self._backends:
            self._backends[key] = _Backend(Breaker(self._guard), Hedge(self._guard))
        return self._backends[key]
