"""TensorFlow's native code writes to standard error what no setting of its logging holds back."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def silence_tensorflow() -> Iterator[None]:
    """Drops what is written to standard error, by native code too. Exceptions come through."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
