"""The gRPC API: podway.gateway.v1's Recommender/Recommend and Collector/Collect, and
grpc.health.v1.Health/Check."""

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from podway.online.error import OnlineError
from podway.online.gateway.door import messages
from podway.online.gateway.door.access import Door, Refused
from podway.online.gateway.door.ask import Desk
from podway.online.gateway.door.events import Collector, Unpublished
from podway.online.gateway.request import RequestError
from podway.online.servers import trace

_LOG = logging.getLogger(__name__)
PROTOCOL = "GRPC"
_LARGEST = 1 << 20

Work = Callable[[str, str], Awaitable[Any]]
"""Own span and client → the message of the answer."""


def _peer(text: str) -> str:
    """The address in ipv4:127.0.0.1:4711, without its port."""
    found = re.fullmatch(r"ipv[46]:(.*):\d+", text.replace("%5B", "[").replace("%5D", "]"))
    return found[1].strip("[]") if found else text


async def server(
    desk: Desk,
    door: Door,
    most: int,
    problem: Callable[[], str],
    collector: Collector | None,
    host: str,
    port: int,
    *,
    shared: bool = False,
) -> tuple[grpc.aio.Server, int]:
    """A server that listens, not started yet, and its port, which it may share with others.

    Raises OnlineError: it cannot listen there.
    """

    async def reply(context: grpc.aio.ServicerContext, work: Work) -> Any:
        """What `work` makes of a request that is let in; or ends the call, and says why."""
        metadata = {str(k): v for k, v in context.invocation_metadata() or ()}
        own = trace.child(str(metadata.get(trace.HEADER, "")))
        try:
            client = door.let_in(
                lambda name: str(metadata[name]) if name in metadata else None,
                _peer(context.peer()),
            )
            found = await work(own, client)
            context.set_trailing_metadata(((trace.HEADER, own),))
            return found
        except Refused as error:
            code, said, why = error.code, str(error), error.code
        except RequestError as error:
            code, said, why = "INVALID_ARGUMENT", str(error), "the request is wrong"
        except Unpublished as error:
            code, said, why = "UNAVAILABLE", str(error), "events wait for the queue"
        except Exception as error:
            _LOG.exception("a request failed")
            why = type(error).__name__
            code, said = "INTERNAL", f"the gateway failed: {why}"
        desk.refused(PROTOCOL, code, why)
        await context.abort(grpc.StatusCode[code], said)

    async def recommend(message: Any, context: grpc.aio.ServicerContext) -> Any:
        async def work(own: str, client: str) -> Any:
            request = messages.read(
                message, most=most, left=context.time_remaining(), trace=own, client=client
            )
            return messages.write(await desk.answer(request, PROTOCOL))

        return await reply(context, work)

    async def collect(message: Any, context: grpc.aio.ServicerContext) -> Any:
        async def work(_: str, __: str) -> Any:
            assert collector is not None
            taken = await collector.take([each.encode() for each in message.events])
            desk.metrics.requests.labels(PROTOCOL, "OK").inc()
            found = messages.CollectResponse(accepted=taken.accepted)
            for each in taken.refused:
                found.refused.add(at=each.at, id=each.id, why=each.why)
            return found

        return await reply(context, work)

    async def check(_: Any, __: grpc.aio.ServicerContext) -> Any:
        status = messages.NOT_SERVING if problem() else messages.SERVING
        return messages.HealthCheckResponse(status=status)

    def unary(method: Any, request: Any, response: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            method, request.FromString, response.SerializeToString
        )

    taken = {messages.COLLECT: unary(collect, messages.CollectRequest, messages.CollectResponse)}
    options = (("grpc.so_reuseport", int(shared)), ("grpc.max_receive_message_length", _LARGEST))
    found = grpc.aio.server(options=options)
    found.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                messages.SERVICE,
                {
                    messages.METHOD: unary(
                        recommend, messages.RecommendRequest, messages.RecommendResponse
                    )
                },
            ),
            grpc.method_handlers_generic_handler(
                messages.COLLECTOR, taken if collector is not None else {}
            ),
            grpc.method_handlers_generic_handler(
                "grpc.health.v1.Health",
                {"Check": unary(check, messages.HealthCheckRequest, messages.HealthCheckResponse)},
            ),
        )
    )
    try:
        bound = found.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OnlineError(
            f"cannot listen on {host}:{port} ({error}); give another --grpc-port, or 0 for any"
            " free one"
        ) from None
    return found, bound
