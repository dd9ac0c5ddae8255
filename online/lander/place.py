"""Where a shard lies, and what it is called.

    date=2026-11-30/hour=07/events-00002-00000000000000001500.parquet    topic, partition, offset
    date=2026-11-30/hour=07/events-3f0c….parquet                         topic, hash of the ids

Day and hour are those of the events (UTC), whenever they came. The first form says from which
offset on the shard has what its partition holds of the hour; the second is for queues that do not
count.
"""

import datetime
import hashlib
import re
from collections.abc import Iterable

HOUR = 3_600_000_000
"""Microseconds."""

_NAME = re.compile(r"(.+)-(\d{5})-(\d{20})\.parquet")
_EPOCH = datetime.datetime(1970, 1, 1)


def folder(hour: int) -> str:
    """The folder of an hour, counted from 1970."""
    found = _EPOCH + datetime.timedelta(hours=hour)
    return f"date={found:%Y-%m-%d}/hour={found:%H}"


def by_offset(topic: str, partition: int, first: int) -> str:
    """The name of a shard whose messages have offsets."""
    return f"{topic}-{partition:05}-{first:020}.parquet"


def by_ids(topic: str, ids: Iterable[str]) -> str:
    """The name of a shard whose messages have none: the same events, the same name."""
    digest = hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
    return f"{topic}-{digest[:32]}.parquet"


def first_of(name: str, topic: str, partition: int) -> int | None:
    """The first offset of a shard of this partition; None: it is of another."""
    found = _NAME.fullmatch(name)
    if found is None or (found[1], int(found[2])) != (topic, partition):
        return None
    return int(found[3])
