"""`podway serve`: answers requests with the published models of a workdir."""

import dataclasses

from etils import epath

from podway.framework.error import PodwayError
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
    verify_models_with: str = ""
    """File of a public key (`podway keys`): only versions that are signed by it are loaded."""
    xla_cache_directory: str = ""
    """Folder of this user's that keeps compiled programs, for the next start to be quick."""


def serve(options: Serve) -> None:
    """Serves the published models of a workdir until SIGINT or SIGTERM. Raises ServerError."""
    workdir = options.workdir
    file = epath.Path(workdir) / "models" / "models.config"
    if not file.exists():
        raise PodwayError(
            f"no model is published in {workdir}: {file} does not exist; `podway run` with the same"
            f" config and --workdir {workdir} makes and publishes one"
        )
    from podway.export.silence import silence_tensorflow

    with silence_tensorflow():  # TensorFlow's native code greets
        from podway.export.server import serve as server
        from podway.export.server.options import ANY
    server.main(
        server.ServerOptions(
            model_config_file=str(file),
            host=options.host,
            port=options.port or ANY,
            rest_api_port=options.rest_port or ANY,
            verify_models_with=options.verify_models_with,
            xla_cache_directory=options.xla_cache_directory,
        )
    )


VERB = Verb(
    "published SavedModels → gRPC and REST",
    Serve,
    serve,
    example="podway serve movielens_sasrec --port 8500 --rest-port 8501 --workdir w",
)
