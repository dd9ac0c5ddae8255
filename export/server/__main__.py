"""`python -m export.server --model_config_file FILE`: the server, without an experiment."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported

import tyro

from export.server.serve import ServerOptions, main
from framework.error import PodwayError

if __name__ == "__main__":
    try:
        main(tyro.cli(ServerOptions, description="SavedModels over gRPC and REST."))
    except PodwayError as error:
        sys.exit(f"error: {error}")
