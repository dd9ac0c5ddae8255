"""What both protocols do with a request: answer it, tell of it, and leave what was shown."""

import time
from collections.abc import Callable, Sequence

from podway.online.gateway.answer import Answer
from podway.online.gateway.door.log import Requests
from podway.online.gateway.gateway import Recommender
from podway.online.gateway.metrics import Metrics
from podway.online.gateway.request import Request
from podway.online.gateway.shown import Shown
from podway.online.servers import trace

Put = Callable[[Sequence[Shown]], object]


class Desk:
    """Answers requests that were let in; belongs to an event loop.

    Args:
      recommender: that answers.
      metrics: what it tells.
      requests: what is written down.
      put: takes what was shown; None: nobody wants it.
    """

    def __init__(
        self, recommender: Recommender, metrics: Metrics, requests: Requests, put: Put | None
    ):
        self.recommender, self.metrics, self.requests = recommender, metrics, requests
        self._put = put

    async def answer(self, request: Request, protocol: str) -> Answer:
        """The answer to a request, counted, logged and published as what was shown."""
        start = time.perf_counter()
        with trace.part_of(request.trace):
            answer = await self.recommender.answer(request)
        seconds = time.perf_counter() - start
        if self._put is not None and answer.items:
            self._put([Shown(request.user, request.segment, request.device, answer, time.time())])
        metrics = self.metrics
        metrics.seconds.labels(protocol).observe(seconds)
        metrics.requests.labels(protocol, "OK").inc()
        metrics.answers.labels(answer.source).inc()
        for trial, arm in answer.trials.items():
            metrics.arms.labels(trial, arm).inc()
        self.requests.answered(protocol, request, answer, seconds)
        return answer

    def refused(self, protocol: str, status: str, why: str) -> None:
        """Tells of a request that was not answered."""
        self.metrics.requests.labels(protocol, status).inc()
        self.requests.refused(protocol, status, why)
