"""Runs the server: ports, models, the watch on the config file, and the graceful stop."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import contextlib
import dataclasses
import errno
import functools
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Coroutine

import grpc
import tensorflow as tf
import uvloop
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from export.server import model_config
from export.server.config_in_force import ConfigInForce
from export.server.error import ServerError
from export.server.grpc_service import ModelService, PredictionService
from export.server.models import Models
from export.server.rest_service import RestService

log = logging.getLogger(__name__)

GRACE_SECONDS = 30.0
"""Longest wait, when stopping, for requests that are being answered."""
MAX_REQUEST_BYTES = 64 << 20
"""Larger requests are refused."""


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """Where the models are and where to listen; named like tensorflow_model_server's flags."""

    model_config_file: str
    """Text proto ModelServerConfig: which models and versions to serve."""
    port: int = 8500
    """Port of gRPC; 0: any free one."""
    rest_api_port: int = 8501
    """Port of REST; 0: any free one."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all interfaces."""
    model_config_file_poll_wait_seconds: float = 1.0
    """Seconds between two looks at the config file and the versions that it asks for."""
    max_batch_size: int = 64
    """Most rows of queued requests that share a run of the model; 1: each request runs alone."""

    def __post_init__(self):
        for field in ("port", "rest_api_port"):
            value = getattr(self, field)
            if not 0 <= value <= 65535:
                raise ServerError(f"{field} is {value}; give 0 to 65535")
        if self.model_config_file_poll_wait_seconds <= 0:
            raise ServerError(
                "model_config_file_poll_wait_seconds is"
                f" {self.model_config_file_poll_wait_seconds}; give more than 0"
            )
        if self.max_batch_size < 1:
            raise ServerError(f"max_batch_size is {self.max_batch_size}; give 1 or more")


def main(options: ServerOptions) -> None:
    """Serves until SIGINT or SIGTERM, then answers what is in flight and returns.

    Raises:
      ServerError: the config file cannot be used, or a port is taken.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    tf.get_logger().setLevel(logging.ERROR)  # its deprecation notes are for programmers
    uvloop.run(serve(options))


async def serve(options: ServerOptions, stop: asyncio.Event | None = None) -> None:
    """Serves until `stop` is set; by default SIGINT and SIGTERM set it. Raises ServerError."""
    read = functools.partial(model_config.read, options.model_config_file)
    stop = stop or _stop_at_signals()
    changed = asyncio.Event()
    models = Models(
        max_batch_rows=options.max_batch_size,
        threads=os.cpu_count() or 1,
        on_change=changed.set,
    )
    config = ConfigInForce(models, read)
    wanted = await config.look()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(models.close)
        checks = health.aio.HealthServicer()
        grpc_port = await stack.enter_async_context(_grpc(options, models, config, checks))
        rest_port = await stack.enter_async_context(_rest(options, models))
        at = f"gRPC {_address(options.host, grpc_port)}, REST {_address(options.host, rest_port)}"
        log.info("listening on %s", at)
        stack.push_async_callback(checks.enter_graceful_shutdown)
        await stack.enter_async_context(_background(_report_health(checks, models, changed)))
        models.update(wanted)
        await _first(models.settle(), stop.wait())
        if not stop.is_set():
            log.info("serving on %s", at)
        await stack.enter_async_context(_background(_watch(options, config)))
        await stop.wait()
        log.info("stopping: answering what is in flight")
    log.info("stopped")


@contextlib.asynccontextmanager
async def _grpc(
    options: ServerOptions,
    models: Models,
    config: ConfigInForce,
    checks: health.aio.HealthServicer,
) -> AsyncIterator[int]:
    """The gRPC server, by its port; at the end it answers what is in flight."""
    _check_port("gRPC", "--port", options.host, options.port)
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),  # else two servers would share a port, unnoticed
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
            ("grpc.max_send_message_length", -1),
        ]
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(models), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models, config), server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    port = server.add_insecure_port(_address(options.host, options.port))
    await server.start()
    try:
        yield port
    finally:
        await server.stop(GRACE_SECONDS)


@contextlib.asynccontextmanager
async def _rest(options: ServerOptions, models: Models) -> AsyncIterator[int]:
    """The REST server, by its port; at the end it answers what is in flight."""
    _check_port("REST", "--rest-port or --rest_api_port", options.host, options.rest_api_port)
    server = web.Server(RestService(models), request_factory=_request, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=GRACE_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, options.host, options.rest_api_port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _request(message, payload, protocol, writer, task) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=MAX_REQUEST_BYTES
    )


@contextlib.asynccontextmanager
async def _background(work: Coroutine) -> AsyncIterator[None]:
    """Runs `work` beside the block, and ends it with the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _first(*waits: Coroutine) -> None:
    """Returns when one of these has."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()


async def _watch(options: ServerOptions, config: ConfigInForce) -> None:
    """Follows the config file. One that cannot be used changes nothing, and is said once."""
    said = ""
    while True:
        await asyncio.sleep(options.model_config_file_poll_wait_seconds)
        try:
            await config.follow()
            said = ""
        except (ServerError, OSError) as error:
            if str(error) != said:
                said = str(error)
                log.error("%s; the last good config stays", said)


async def _report_health(
    checks: health.aio.HealthServicer, models: Models, changed: asyncio.Event
) -> None:
    """grpc.health.v1: SERVING once every model of the config has an available version."""
    serving = health_pb2.HealthCheckResponse.ServingStatus
    while True:
        state = serving.SERVING if models.ready() else serving.NOT_SERVING
        for service in ("", "tensorflow.serving.PredictionService"):
            await checks.set(service, state)
        await changed.wait()
        changed.clear()


def _check_port(what: str, flag: str, host: str, port: int) -> None:
    """Raises ServerError unless the port can be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServerError(
                f"{what} port {port} on {host} is in use: stop what listens there, or choose"
                f" another by {flag} (0: any free one)"
            ) from error
        raise ServerError(
            f"{what} cannot listen on {host} port {port} (--host, {flag}): {error.strerror}"
        ) from error


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _stop_at_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
