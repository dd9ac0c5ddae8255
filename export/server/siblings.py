"""The other processes of this server, where --workers is above 1: what one is asked, all answer.

Connections are spread over the workers by the kernel, so a client that asks for a model's status,
for other models or for metrics reaches any of them. That one asks the others, over Unix sockets in
a folder of this user's: each worker serves ModelService, grpc.health.v1 and its page of metrics
there, of its own models alone.
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import contextlib
import dataclasses
import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)

from podway.export.server import metrics
from podway.export.server.error import RequestError

State = get_model_status_pb2.ModelVersionStatus.State

SERVICE, METRICS = "podway.Worker", "Metrics"
"""The method, of no message, that answers with a worker's page of metrics."""

_AGAIN = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 300))
"""A sibling that does not listen yet is tried again soon."""
_SOON = 10.0
"""Seconds in which a sibling answers what costs it nothing."""


@dataclasses.dataclass(frozen=True)
class Seat:
    """A process's place among the workers of a server.

    Attributes:
      folder: of the workers' sockets.
      number: 0 to workers - 1.
      workers: how many there are.
    """

    folder: str
    number: int
    workers: int

    def address(self, number: int) -> str:
        """Where a worker listens to the others, for gRPC."""
        return f"unix:{self.folder}/{number}"


class Siblings:
    """The other workers; none of a server that is one process."""

    def __init__(self, seat: Seat | None = None):
        numbers = [n for n in range(seat.workers) if n != seat.number] if seat else []
        self._channels = [
            grpc.aio.insecure_channel(seat.address(n), options=_AGAIN) for n in numbers if seat
        ]
        self._services = [
            model_service_pb2_grpc.ModelServiceStub(channel) for channel in self._channels
        ]
        self._ready = [False] * len(numbers)
        self.share_ports = seat is not None
        self._lock = asyncio.Lock()
        self._file = f"{seat.folder}/reload" if seat else None

    async def connected(self) -> None:
        """Returns when all of them listen."""
        await asyncio.gather(*(channel.channel_ready() for channel in self._channels))

    async def close(self) -> None:
        """Ends the connections."""
        for channel in self._channels:
            await channel.close()

    # -------------------------------------------------------------------------------- reload

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One reload at a time among the workers, lest two be followed in different orders."""
        if self._file is None:
            yield
            return
        async with self._lock:  # so that no more than one thread waits for the file
            with open(self._file, "w") as file:
                await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
                yield

    def reload(
        self, request: model_management_pb2.ReloadConfigRequest
    ) -> list[Awaitable[model_management_pb2.ReloadConfigResponse]]:
        """Each sibling's answer. They raise RequestError."""
        return [_asked(service.HandleReloadConfigRequest(request)) for service in self._services]

    # -------------------------------------------------------------------------------- status

    async def status(
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        own: get_model_status_pb2.GetModelStatusResponse,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """`own`, with what the siblings say of the same versions: AVAILABLE if it is in all."""
        asked = [service.GetModelStatus(request, timeout=_SOON) for service in self._services]
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            known = {}  # of a sibling that has not found the model yet
            if isinstance(answer, get_model_status_pb2.GetModelStatusResponse):
                known = {status.version: status for status in answer.model_version_status}
            for entry in own.model_version_status:
                theirs = known.get(entry.version)
                if theirs is None:
                    theirs = get_model_status_pb2.ModelVersionStatus(
                        version=entry.version, state=State.START
                    )
                if tells_more(theirs.state, entry.state):
                    entry.CopyFrom(theirs)
        return own

    # ------------------------------------------------------------------------------- metrics

    async def page(self, own: str) -> str:
        """The sums of all workers' metrics. Raises AioRpcError: a sum without one would mislead."""
        calls = [channel.unary_unary(f"/{SERVICE}/{METRICS}") for channel in self._channels]
        pages = await asyncio.gather(
            *(call(b"", timeout=_SOON, wait_for_ready=True) for call in calls)
        )
        return metrics.sum_pages(own, *(page.decode() for page in pages))

    # -------------------------------------------------------------------------------- health

    def ready(self) -> bool:
        """Whether all of them can serve every model."""
        return all(self._ready)

    async def follow(self, on_change: Callable[[], None]) -> None:
        """Keeps `ready` up to date, and calls `on_change` with each change."""

        async def follow(index: int, channel: grpc.aio.Channel) -> None:
            watch = health_pb2_grpc.HealthStub(channel).Watch
            with contextlib.suppress(grpc.aio.AioRpcError):  # it has gone
                request = health_pb2.HealthCheckRequest()
                async for answer in watch(request, wait_for_ready=True):
                    self._ready[index] = (
                        answer.status == health_pb2.HealthCheckResponse.ServingStatus.SERVING
                    )
                    on_change()
            self._ready[index] = False
            on_change()

        await asyncio.gather(
            *(follow(index, channel) for index, channel in enumerate(self._channels))
        )


def tells_more(one: int, other: int) -> bool:
    """Whether `one` is the state of a version that is in these two: the step that is left.

    On the way up that is the earlier one, on the way down the later one.
    """
    down = max(one, other) > State.AVAILABLE
    return one > other if down else one < other


async def _asked(call: Awaitable):
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise RequestError(error.code(), error.details() or "a worker gave no answer") from error
