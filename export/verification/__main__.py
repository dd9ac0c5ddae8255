"""`python -m podway.export.verification models/NAME/VERSION` verifies a model, without JAX."""

import sys

import tensorflow as tf

from podway.export.error import ExportError
from podway.export.verification import verify


def main() -> None:
    """Prints the report and exits with 0, or what differs and exits with 1."""
    tf.get_logger().setLevel("ERROR")
    if len(sys.argv) != 2:
        sys.exit("usage: python -m podway.export.verification models/NAME/VERSION")
    try:
        print(verify.verify(sys.argv[1]))
    except ExportError as error:
        print(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
