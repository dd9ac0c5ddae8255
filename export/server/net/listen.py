"""The listeners, gRPC and REST: addresses, limits, TLS, and the graceful end."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import grpc
from aiohttp import web
from grpc_health.v1 import health, health_pb2_grpc

from podway.export.server.api.grpc import ModelService, PredictionService
from podway.export.server.api.rest import RestService
from podway.export.server.drain import Drain
from podway.export.server.error import ServerError
from podway.export.server.models.manager import Models
from podway.export.server.models.watch import Watch
from podway.export.server.net import connections, monitoring, ports, tls
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
class Bounds:
    """What holds for both APIs.

    Attributes:
      connections: that each may have.
      drain: the time that requests in flight have at the end.
    """

    connections: int
    drain: Drain


@contextlib.asynccontextmanager
async def listen_grpc(
    options: ServerOptions,
    models: Models,
    watch: Watch,
    siblings: Siblings,
    checks: health.aio.HealthServicer,
    bounds: Bounds,
) -> AsyncIterator[str]:
    """The gRPC server, by its address; at the end it answers what is in flight."""
    credentials = tls.read(options.ssl_config_file) if options.ssl_config_file else None
    server = grpc.aio.server(
        options=_grpc_options(options, siblings.share_ports, bounds.connections)
    )
    server.add_generic_rpc_handlers(
        (
            PredictionService(models).handlers(),
            ModelService(models, watch, siblings).handlers(),
        )
    )
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)

    def add(address: str) -> int:
        if credentials:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)

    addresses = []
    if options.port != OFF:
        if not siblings.share_ports:
            ports.check_port("gRPC", "--port", options.host, options.port)
        addresses.append(_address(options.host, add(_address(options.host, options.port))))
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
        await server.stop(bounds.drain.left())


@contextlib.asynccontextmanager
async def listen_rest(
    options: ServerOptions, models: Models, siblings: Siblings, bounds: Bounds
) -> AsyncIterator[str]:
    """The REST server, by its address; at the end it answers what is in flight."""
    if options.rest_api_port == OFF:
        yield "off"
        return
    if not siblings.share_ports:
        ports.check_port(
            "REST", "--rest-port or --rest_api_port", options.host, options.rest_api_port
        )
    server = connections.Server(
        RestService(
            models,
            siblings,
            metrics_path=monitoring.read(options.monitoring_config_file),
            timeout=options.rest_api_timeout_in_ms / 1000,
            cors=options.rest_api_enable_cors_support,
        ),
        most=bounds.connections,
        header_seconds=options.rest_api_header_timeout_in_ms / 1000,
        keepalive_timeout=options.rest_api_idle_timeout_in_ms / 1000,
        handler_cancellation=True,  # of a client that has left
        auto_decompress=False,  # which it would do on the event loop, to any length
        access_log=None,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        max_headers=MAX_HEADERS,
    )
    runner = web.ServerRunner(server, shutdown_timeout=options.drain_seconds)
    await runner.setup()
    try:
        await web.TCPSite(
            runner,
            options.host,
            options.rest_api_port,
            backlog=_BACKLOG,
            reuse_port=siblings.share_ports or None,
        ).start()
        yield _address(options.host, runner.addresses[0][1])
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(runner.cleanup(), bounds.drain.left())


@contextlib.asynccontextmanager
async def listen_to_siblings(
    seat: Seat, models: Models, watch: Watch, checks: health.aio.HealthServicer
) -> AsyncIterator[None]:
    """What the other workers ask this one, of itself alone."""

    async def page(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return models.metrics.page().encode()

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((ModelService(models, watch, Siblings()).handlers(),))
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
