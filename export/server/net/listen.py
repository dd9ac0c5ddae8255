"""The listeners, gRPC and REST: addresses, limits, TLS, and the graceful end."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from podway.export.server.api.grpc import ModelService, PredictionService
from podway.export.server.api.rest import RestService
from podway.export.server.drain import Drain
from podway.export.server.error import ServerError
from podway.export.server.models.manager import Models
from podway.export.server.models.rights import Rights
from podway.export.server.models.watch import Watch
from podway.export.server.net import connections, handshake, monitoring, ports, tls
from podway.export.server.options import OFF, ServerOptions
from podway.export.server.siblings import METRICS, SERVICE, Seat, Siblings

MAX_HEADER_BYTES = 16 << 10
"""Requests with more of gRPC's metadata, or with a longer line or header of HTTP, are refused."""
MAX_HEADERS = 128
"""Most headers of a REST request."""
_BACKLOG = 4096
"""Connections that the kernel holds until they are taken; one more would be asked to come again a
second later."""
_CONNECTIONS = (
    # A connection that never speaks HTTP/2, or TLS, ends …
    ("grpc.server_handshake_timeout_ms", 10_000),
    # … and so does one whose client does not answer any more: it is asked after a minute's silence.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Clients may ask as often as this, and are sent away (GOAWAY) after two more.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
    # A client has so many requests in flight on a connection; the others wait at its own end.
    ("grpc.max_concurrent_streams", 1024),
)
"""What a gRPC connection may cost; --grpc_channel_arguments has the last word."""


@dataclasses.dataclass(frozen=True)
class Terms:
    """What holds for both APIs.

    Attributes:
      connections: that each may have.
      drain: the time that requests in flight have at the end.
      identity: keys of TLS; None: both are in clear text.
    """

    connections: int
    drain: Drain
    identity: tls.Identity | None = None


@contextlib.asynccontextmanager
async def listen_grpc(
    options: ServerOptions,
    models: Models,
    watch: Watch,
    siblings: Siblings,
    checks: health.aio.HealthServicer,
    terms: Terms,
) -> AsyncIterator[str]:
    """The gRPC server, by its address; at the end it answers what is in flight."""
    server = grpc.aio.server(
        options=_grpc_options(options, siblings.share_ports, terms.connections)
    )
    server.add_generic_rpc_handlers(
        (
            PredictionService(models).handlers(),
            ModelService(models, watch, siblings, Rights.of(options)).handlers(),
        )
    )
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)

    def add(address: str) -> int:
        if terms.identity:
            return server.add_secure_port(address, terms.identity.credentials)
        return server.add_insecure_port(address)

    addresses = []
    if options.port != OFF:
        if not siblings.share_ports:
            ports.check_port("gRPC", "--port", options.host, options.port)
        port = add(_address(options.host, ports.bound(options.port)))
        addresses.append(_address(options.host, port))
    unix = ports.UnixSocket(options.grpc_socket_path) if options.grpc_socket_path else None
    if unix:
        add(f"unix:{unix.bound}")
        addresses.append(f"unix:{unix.path}")
    await server.start()
    try:
        if unix:
            unix.take_over()
        yield " and ".join(addresses) or "off"
    finally:
        if unix:
            unix.leave()
        await server.stop(terms.drain.left())


@contextlib.asynccontextmanager
async def listen_rest(
    options: ServerOptions, models: Models, siblings: Siblings, terms: Terms
) -> AsyncIterator[str]:
    """The REST server, by its address; at the end it answers what is in flight."""
    if options.rest_api_port == OFF:
        yield "off"
        return
    if not siblings.share_ports:
        ports.check_port(
            "REST", "--rest-port or --rest_api_port", options.host, options.rest_api_port
        )
    header_seconds = options.rest_api_header_timeout_in_ms / 1000
    server = connections.Server(
        RestService(
            models,
            siblings,
            metrics_path=monitoring.read(options.monitoring_config_file),
            timeout=options.rest_api_timeout_in_ms / 1000,
            cors=options.rest_api_enable_cors_support,
        ),
        most=terms.connections,
        header_seconds=header_seconds,
        keepalive_timeout=options.rest_api_idle_timeout_in_ms / 1000,
        handler_cancellation=True,  # of a client that has left
        auto_decompress=False,  # which it would do on the event loop, to any length
        access_log=None,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        max_headers=MAX_HEADERS,
    )
    listener = socket.create_server(
        (options.host, ports.bound(options.rest_api_port)),
        family=ports.family(options.host),
        backlog=_BACKLOG,
        reuse_port=siblings.share_ports,
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_end, server, options.drain_seconds, terms.drain)
        await stack.enter_async_context(_accepting(listener, server, header_seconds, terms))
        yield _address(options.host, listener.getsockname()[1])


@contextlib.asynccontextmanager
async def _accepting(
    listener: socket.socket, server: connections.Server, seconds: float, terms: Terms
) -> AsyncIterator[None]:
    """New connections are taken; by TLS with the keys, if there are any."""
    if terms.identity is None:
        clear = await asyncio.get_running_loop().create_server(
            server, sock=listener, backlog=_BACKLOG
        )
        try:
            yield
        finally:
            clear.close()
        return
    listener.setblocking(False)
    work = handshake.accept(
        listener, server, terms.identity.context, most=terms.connections, seconds=seconds
    )
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        listener.close()


async def _end(server: connections.Server, seconds: float, drain: Drain) -> None:
    """Answers what is in flight."""
    await asyncio.sleep(0)  # what has come before the end is begun
    server.pre_shutdown()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(server.shutdown(seconds), drain.left())


@contextlib.asynccontextmanager
async def listen_to_siblings(
    seat: Seat,
    options: ServerOptions,
    models: Models,
    watch: Watch,
    checks: health.aio.HealthServicer,
) -> AsyncIterator[None]:
    """What the other workers ask this one, of itself alone."""

    async def page(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return models.metrics.page().encode()

    server = grpc.aio.server()
    service = ModelService(models, watch, Siblings(), Rights.of(options))
    server.add_generic_rpc_handlers((service.handlers(),))
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    handlers = {METRICS: grpc.unary_unary_rpc_method_handler(page)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(seat.address(seat.number))
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


def _grpc_options(
    options: ServerOptions, share_ports: bool, most: int
) -> list[tuple[str, int | str]]:
    return [
        ("grpc.so_reuseport", int(share_ports)),  # else two servers would, unnoticed
        ("grpc.max_receive_message_length", options.max_request_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", MAX_HEADER_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_HEADER_BYTES),
        ("grpc.max_allowed_incoming_connections", most),
        *_CONNECTIONS,
        *_channel_arguments(options.grpc_channel_arguments),
    ]


def _channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """KEY=VALUE,… as gRPC takes it, numbers as such."""
    found: list[tuple[str, int | str]] = []
    for argument in filter(None, text.split(",")):
        key, given, value = argument.partition("=")
        if not (key and given):
            raise ServerError(f"grpc_channel_arguments has {argument!r}; give KEY=VALUE,KEY=VALUE")
        found.append((key, int(value) if value.lstrip("-").isdecimal() else value))
    return found


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
