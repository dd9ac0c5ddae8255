"""A line of JSON for a sample of the requests, and for each that failed.

No user, no item, no attribute, and no header but the trace: what a line holds says how the service
does, and nothing of a person, unless the config wants users to be named.
"""

import json
import logging
import random

from podway.framework.config.online import Gateway
from podway.online.gateway.answer import Answer
from podway.online.gateway.request import Request

LOG = logging.getLogger("podway.requests")


class Requests:
    """Writes down what the config wants.

    Args:
      gateway: how much.
      chance: gives numbers, 0 to 1.
    """

    def __init__(self, gateway: Gateway, chance: random.Random | None = None):
        self._share, self._users = gateway.log_share, gateway.log_users
        self._chance = chance or random.Random()

    def answered(self, protocol: str, request: Request, answer: Answer, seconds: float) -> None:
        """A request that was answered."""
        if not self._share or self._chance.random() >= self._share:
            return
        line = {
            "request_id": request.id,
            "protocol": protocol,
            "ms": round(seconds * 1e3, 2),
            "source": answer.source,
            "items": len(answer.items),
            "model": answer.model,
            "version": answer.version,
            "arm": answer.arm,
            "trials": answer.trials,
            "missing": answer.missing,
        }
        if request.trace:
            line["trace"] = request.trace
        if self._users:
            line["user"] = request.user
        LOG.info("%s", json.dumps(line, ensure_ascii=False))

    def refused(self, protocol: str, status: str, why: str) -> None:
        """A request that was not; `why` names no value of it."""
        LOG.warning("%s", json.dumps({"protocol": protocol, "status": status, "why": why}))
