"""`podway serve`: answers requests with the published models of a workdir."""

import dataclasses

from podway.launch import stages
from podway.launch.verbs.verb import Stage, Verb


@dataclasses.dataclass(frozen=True)
class Serve(Stage):
    """An experiment, where its artefacts lie, and where to listen."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all interfaces."""
    port: int = 8500
    """Port of gRPC; 0: any free one."""
    rest_port: int = 8501
    """Port of REST; 0: any free one."""


def serve(options: Serve) -> None:
    """Serves until SIGINT or SIGTERM."""
    stages.serve(
        options.experiment,
        options.workdir,
        host=options.host,
        port=options.port,
        rest_port=options.rest_port,
    )


VERB = Verb(
    "published SavedModels → gRPC and REST",
    Serve,
    serve,
    example="podway serve movielens_sasrec --port 8500 --rest-port 8501 --workdir w",
)
