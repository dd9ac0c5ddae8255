"""`python -m podway.export.server --model_config_file FILE`: the server, without an experiment."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported

from podway.export.server.command import main

if __name__ == "__main__":
    main()
