"""The gRPC API: podway.gateway.v1.Recommender/Recommend, and grpc.health.v1.Health/Check."""

import logging
import re
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from podway.online.error import OnlineError
from podway.online.gateway.door import messages
from podway.online.gateway.door.access import Door, Refused
from podway.online.gateway.door.ask import Desk
from podway.online.gateway.request import RequestError
from podway.online.servers import trace

_LOG = logging.getLogger(__name__)
PROTOCOL = "GRPC"
_LARGEST = 1 << 20


def _peer(text: str) -> str:
    """The address in ipv4:127.0.0.1:4711, without its port."""
    found = re.fullmatch(r"ipv[46]:(.*):\d+", text.replace("%5B", "[").replace("%5D", "]"))
    return found[1].strip("[]") if found else text


async def server(
    desk: Desk,
    door: Door,
    most: int,
    problem: Callable[[], str],
    host: str,
    port: int,
    *,
    shared: bool = False,
) -> tuple[grpc.aio.Server, int]:
    """A server that listens, not started yet, and its port, which it may share with others.

    Raises OnlineError: it cannot listen there.
    """

    async def recommend(message: Any, context: grpc.aio.ServicerContext) -> Any:
        metadata = {str(k): v for k, v in context.invocation_metadata() or ()}
        own = trace.child(str(metadata.get(trace.HEADER, "")))
        try:
            client = door.let_in(
                lambda name: str(metadata[name]) if name in metadata else None,
                _peer(context.peer()),
            )
            request = messages.read(
                message, most=most, left=context.time_remaining(), trace=own, client=client
            )
            answer = await desk.answer(request, PROTOCOL)
            context.set_trailing_metadata(((trace.HEADER, own),))
            return messages.write(answer)
        except Refused as error:
            code, said, why = error.code, str(error), error.code
        except RequestError as error:
            code, said, why = "INVALID_ARGUMENT", str(error), "the request is wrong"
        except Exception as error:
            _LOG.exception("a request failed")
            why = type(error).__name__
            code, said = "INTERNAL", f"the gateway failed: {why}"
        desk.refused(PROTOCOL, code, why)
        await context.abort(grpc.StatusCode[code], said)

    async def check(_: Any, __: grpc.aio.ServicerContext) -> Any:
        status = messages.NOT_SERVING if problem() else messages.SERVING
        return messages.HealthCheckResponse(status=status)

    def unary(method: Any, request: Any, response: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            method, request.FromString, response.SerializeToString
        )

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
