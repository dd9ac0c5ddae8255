"""Runs the server: listeners, models, the watch on the config file, and the graceful stop."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import contextlib
import functools
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine

import uvloop
from grpc_health.v1 import health, health_pb2

from podway.export.error import ExportError
from podway.export.server import logs, request_log
from podway.export.server.batching import parameters
from podway.export.server.batching.parameters import BatchingParameters
from podway.export.server.drain import Drain, stop_at_signals
from podway.export.server.error import ServerError
from podway.export.server.limits import Limits
from podway.export.server.models.loader import Loading
from podway.export.server.models.manager import Models
from podway.export.server.models.programs import Programs
from podway.export.server.models.watch import Watch, configs
from podway.export.server.net import files, monitoring, tls
from podway.export.server.net.listen import (
    Terms,
    listen_grpc,
    listen_rest,
    listen_to_siblings,
)
from podway.export.server.options import ServerOptions
from podway.export.server.runtime import session
from podway.export.server.siblings import Seat, Siblings
from podway.export.signature.minisign import PublicKey

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 1.0
"""Beyond the drain, for models to be given back."""


def main(options: ServerOptions) -> None:
    """Serves until SIGINT or SIGTERM, then answers what is in flight and returns.

    Raises:
      ServerError: a file cannot be used, or a port is taken.
    """
    logs.start()
    uvloop.run(serve(options))


def _say(address: str) -> None:
    log.info("serving on %s", address)


async def serve(
    options: ServerOptions,
    stop: asyncio.Event | None = None,
    *,
    seat: Seat | None = None,
    announce: Callable[[str], None] = _say,
) -> None:
    """Serves until `stop` is set; by default SIGINT and SIGTERM set it. Raises ServerError.

    With a `seat` as one of several processes on the same ports. Calls `announce` with the addresses
    when the models have been loaded.
    """
    await asyncio.to_thread(configs, options)  # what is wrong there is said before all else
    monitoring.read(options.monitoring_config_file)
    identity = _identity(options)
    stop = stop or stop_at_signals(options)
    terms = Terms(
        files.connections(options.max_connections, files.raise_limit()),
        Drain(options.drain_seconds),
        identity,
    )
    changed = asyncio.Event()
    programs = await asyncio.to_thread(_programs, options.xla_cache_directory)
    logged = request_log.read(options.request_log_config_file)
    models = Models(
        _loading(options, programs),
        on_change=changed.set,
        log=logged and functools.partial(request_log.Writer, logged, worker=_number(seat)),
        limits=Limits.of(options),
    )
    watch = Watch(options, models)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_close, models, terms.drain)
        siblings = Siblings(seat)
        stack.push_async_callback(siblings.close)
        checks, own = health.aio.HealthServicer(), health.aio.HealthServicer()
        if seat:
            await stack.enter_async_context(listen_to_siblings(seat, options, models, watch, own))
            await stack.enter_async_context(_background(siblings.follow(changed.set)))
        grpc_address = await stack.enter_async_context(
            listen_grpc(options, models, watch, siblings, checks, terms)
        )
        rest_address = await stack.enter_async_context(
            listen_rest(options, models, siblings, terms)
        )
        addresses = f"gRPC {grpc_address}, REST {rest_address}"
        log.info("listening on %s", addresses)
        stack.push_async_callback(checks.enter_graceful_shutdown)
        health_reports = _report_health(checks, own, models, siblings, changed)
        await stack.enter_async_context(_background(health_reports))
        await watch.start()
        await _first(models.settle(), stop.wait())
        models.begun()
        await _first(siblings.connected(), stop.wait())
        if not stop.is_set():
            announce(addresses)
        await stack.enter_async_context(_background(watch.run()))
        await stop.wait()
        log.info("stopping: answering what is in flight")
    log.info("stopped")


async def _close(models: Models, drain: Drain) -> None:
    """Unloads everything, unless what runs takes longer than it may."""
    try:
        await asyncio.wait_for(models.close(), drain.left() + _CLOSE_SECONDS)
    except TimeoutError:
        log.error("a model is still running: it is given up")


def _identity(options: ServerOptions) -> tls.Identity | None:
    """Keys of TLS. Raises ServerError, also where nobody could use --enable_model_management."""
    identity = tls.read(options.ssl_config_file) if options.ssl_config_file else None
    known = options.grpc_socket_path or (identity and identity.client_verify)
    if options.enable_model_management and not known:
        raise ServerError(
            f"enable_model_management needs client_verify in {tls.FLAG} {options.ssl_config_file},"
            " or --grpc_socket_path: who may change what is served has to be known"
        )
    return identity


def _number(seat: Seat | None) -> int:
    return seat.number if seat else 0


def _programs(directory: str) -> Programs | None:
    """What earlier starts have compiled, at TensorFlow's hand. Raises ServerError."""
    if not directory:
        return None
    programs = Programs(directory)
    programs.read()
    return programs


def _loading(options: ServerOptions, programs: Programs | None) -> Loading:
    """What the options say of loading and running versions. Raises ServerError."""
    return Loading(
        batching=_batching(options),
        per_model_batching=options.enable_per_model_batching_parameters,
        warmup=options.enable_model_warmup,
        retries=options.max_num_load_retries,
        retry_seconds=max(0, options.load_retry_interval_micros) / 1e6,
        load_threads=options.num_load_threads or 1,
        first_load_threads=options.num_load_threads or os.cpu_count() or 1,
        unload_threads=options.num_unload_threads or 1,
        labels_for_unavailable=options.allow_version_labels_for_unavailable_models,
        session=session.of(options),
        programs=programs,
        key=_key(options.verify_models_with),
    )


def _key(path: str) -> PublicKey | None:
    try:
        return PublicKey.read(path) if path else None
    except ExportError as error:
        raise ServerError(f"verify_models_with: {error}") from error


def _batching(options: ServerOptions) -> BatchingParameters:
    if options.enable_batching:
        return parameters.read(options.batching_parameters_file or None)
    return parameters.without_file(options.max_batch_size)


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


async def _report_health(
    checks: health.aio.HealthServicer,
    own: health.aio.HealthServicer,
    models: Models,
    siblings: Siblings,
    changed: asyncio.Event,
) -> None:
    """grpc.health.v1: SERVING once every model of the config has an available version.

    To clients that is so in every process; `own` is what the siblings are told of this one.
    """
    serving = health_pb2.HealthCheckResponse.ServingStatus
    while True:
        ready = models.ready()
        await own.set("", serving.SERVING if ready else serving.NOT_SERVING)
        state = serving.SERVING if ready and siblings.ready() else serving.NOT_SERVING
        for service in ("", "tensorflow.serving.PredictionService"):
            await checks.set(service, state)
        await changed.wait()
        changed.clear()
