"""Which partition a key is in, for the queues that do not decide on it themselves."""

import zlib


def of(key: str, partitions: int) -> int:
    """The same in every process; partitions of a topic never change for it to stay."""
    return zlib.crc32(key.encode()) % partitions
