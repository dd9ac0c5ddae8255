"""`podway gateway`: recommendations for users, by REST and gRPC."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from podway.framework.error import check
from podway.launch.verbs.verb import Stage, Verb

if TYPE_CHECKING:
    from prometheus_client.registry import CollectorRegistry

    from podway.online.gateway.process.serve import Running


@dataclasses.dataclass(frozen=True)
class Options(Stage):
    """An experiment, where its artefacts lie, and where to listen."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all interfaces."""
    port: int = 8600
    """Port of REST; 0: any free one."""
    grpc_port: int = 8601
    """Port of gRPC; 0: any free one."""
    page_port: int = 8602
    """Port of /livez, /readyz and /metrics; 0: any free one."""
    workers: int = 1
    """Processes that share the ports, for as many processors."""


_MORE = """

user and context → history from the store → model server → rules → items with reasons. It answers
whatever is down: something stands in. `online.gateway` of the config says how."""


def gateway(options: Options) -> None:
    """Serves until SIGINT or SIGTERM, then finishes what is under way."""
    from prometheus_client.registry import CollectorRegistry

    from podway.online.gateway.process import serve, workers
    from podway.online.service import page, stop

    check(options.workers >= 1, f"--workers is {options.workers}; give 1 or more")
    given = serve.Options(
        options.experiment.online,
        options.experiment.name,
        options.workdir,
        options.host,
        options.port,
        options.grpc_port,
        options.workers,
    )

    @contextlib.contextmanager
    def told(running: Running, registry: CollectorRegistry) -> Iterator[None]:
        with page.page(options.host, options.page_port, registry, running.problem) as port:
            print(
                f"gateway of {options.experiment.name}: REST on {options.host}:{running.port}, gRPC"
                f" on {options.host}:{running.grpc_port}, health and metrics on"
                f" {options.host}:{port}",
                flush=True,
            )
            yield

    with stop.asked() as asked:
        if options.workers > 1:
            workers.run(given, asked, told)
        else:
            registry = CollectorRegistry()
            with contextlib.ExitStack() as stack:
                serve.run(
                    given,
                    asked,
                    registry,
                    lambda running: stack.enter_context(told(running, registry)),
                )
    print("gateway: ended; all requests were answered", flush=True)


VERB = Verb(
    "user → recommendations, by REST and gRPC",
    Options,
    gateway,
    more=_MORE,
    example="podway gateway movielens_sasrec --online.gateway.server localhost:8500 --workdir w",
    without_model=True,
)
