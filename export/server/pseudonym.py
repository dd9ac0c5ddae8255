"""What stands in a log in place of a value that nobody may read there: a keyed hash of it.

Who lacks the key can neither read the value nor find it by trying. Pure Python: the reader of the
log has neither TensorFlow nor gRPC.
"""

import hashlib
import os
import pathlib

from podway.framework.error import PodwayError

BYTES = 8
"""Of a hash; twice as many hexadecimal digits."""
KEY = (16, 64)
"""Bytes that a key has at least and at most."""


class UnusableKey(PodwayError, ValueError):
    """A key that cannot be used; the message names its file."""


def of(value: bytes, key: bytes) -> str:
    """The hash; of "", which stands for no value, "" itself."""
    return hashlib.blake2b(value, digest_size=BYTES, key=key).hexdigest() if value else ""


def read_key(path: str | os.PathLike[str]) -> bytes:
    """The key in a file, without what is blank around it. Raises UnusableKey."""
    try:
        key = pathlib.Path(path).read_bytes().strip()
    except OSError as error:
        raise UnusableKey(f"{path} cannot be read: {error.strerror or error}") from error
    least, most = KEY
    if not least <= len(key) <= most:
        raise UnusableKey(
            f"the key in {path} has {len(key)} bytes; give {least} to {most} of them:"
            " `openssl rand -hex 24` makes some"
        )
    return key
