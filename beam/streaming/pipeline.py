"""Pub/Sub → shards, hour by hour of the events.

    messages ─▶ read many at once ─▶ window of the hour ─▶ group ─▶ a shard for each pane
                       └─▶ dead

A pane is what came of an hour, and of some of its users, in the last `lander.seconds`: also when
the watermark has passed the hour long ago. Only behind the allowed lateness an hour is closed for
good, and that is `lander.oldest_days`; the watermark is that of the time of publishing, so it never
passes an event that is younger. Nothing is dropped without a word.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam
import numpy as np
import pyarrow as pa
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms import trigger
from apache_beam.transforms.window import FixedWindows, GlobalWindow, TimestampedValue
from apache_beam.utils.windowed_value import WindowedValue

from podway.beam.error import portable
from podway.framework.config import online
from podway.online.lander import door, parse, shard, sift
from podway.online.queue import dead

HOUR = 3600
_MOST = 5_000
"""Messages that are read at once."""

Keyed = tuple[int, bytes]
"""Which of an hour's files, and events as Arrow's stream."""


def assemble(
    messages: Any, topic: str, root: str, of: online.Online, shards: int
) -> tuple[Any, Any]:
    """Adds the pipeline behind PubsubMessages.

    Args:
      messages: a PCollection whose timestamps are those of publishing.
      topic: as shards are called, and where the dead are from.
      root: folder of all hours.
      of: its events and its lander: when to write, and what to take in.
      shards: files of an hour that are written at a time.

    Returns:
      The paths of what was written, and PubsubMessages of the dead.
    """
    read = messages | "read" >> apache_beam.ParDo(Read(topic, of, shards)).with_output_types(
        Keyed, dead=PubsubMessage
    ).with_outputs("dead", main="events")
    config = of.lander
    oldest = int(config.oldest_days * 86_400) + HOUR
    pane = trigger.AfterProcessingTime(max(1, round(config.seconds)))
    landed = (
        read["events"]
        | "hours"
        >> apache_beam.WindowInto(
            FixedWindows(HOUR),
            trigger=trigger.Repeatedly(pane),
            accumulation_mode=trigger.AccumulationMode.DISCARDING,
            allowed_lateness=oldest,
        )
        | "panes" >> apache_beam.GroupByKey()
        | "land" >> apache_beam.ParDo(Land(topic, root))
    )
    return landed, read["dead"]


class Read(apache_beam.DoFn):
    """PubsubMessages → (file, events of an hour), at the begin of that hour.

    Tagged output "dead": what is no event, or cannot have happened when it says.
    """

    def __init__(self, topic: str, of: online.Online, shards: int):
        self._topic, self._shards = topic, shards
        self._config, self._events = of.lander, of.events
        self._counts = {
            kind: Metrics.counter("lander", kind)
            for kind in (sift.LATE, sift.MALFORMED, sift.AHEAD, sift.OLD)
        }

    def setup(self) -> None:
        """Knows the events' schemas."""
        self._door = door.of(self._events)

    def start_bundle(self) -> None:
        """Forgets what a bundle that failed has left."""
        self._waiting: list[tuple[PubsubMessage, float]] = []

    def process(
        self, element: PubsubMessage, timestamp: Any = apache_beam.DoFn.TimestampParam
    ) -> Iterator[Any]:
        """Keeps messages until there are many, or the bundle ends."""
        self._waiting.append((element, timestamp.micros / 1e6))
        if len(self._waiting) >= _MOST:
            for tag, value, time in self._read():
                timed = TimestampedValue(value, time)
                yield TaggedOutput(tag, timed) if tag else timed

    def finish_bundle(self) -> Iterator[Any]:
        """Reads the rest."""
        for tag, value, time in self._read():
            whole = WindowedValue(value, time, (GlobalWindow(),))
            yield TaggedOutput(tag, whole) if tag else whole

    def _read(self) -> Iterator[tuple[str, Any, float]]:
        """(tag, value, its time) of all that waits."""
        messages, self._waiting = self._waiting, []
        if not messages:
            return
        published = np.array([time for _, time in messages])
        found = sift.sift(
            parse.parse([one.data or b"" for one, _ in messages], self._door),
            published,
            self._config,
        )
        self._counts[sift.LATE].inc(found.late)
        for at, kind, reason in found.dead:
            self._counts[kind].inc()
            message, time = messages[at]
            yield "dead", _dead(message, self._topic, self._config.group, reason, time), time
        for hour, key, table in _divided(found.table, self._shards):
            yield "", (key, _encoded(table)), float(hour * HOUR)


class Land(apache_beam.DoFn):
    """(file, events) of a window's pane → the path of the shard."""

    def __init__(self, topic: str, root: str):
        self._topic, self._root = topic, root
        self._counts = {kind: Metrics.counter("lander", kind) for kind in (sift.LANDED, sift.THERE)}

    def process(
        self,
        element: tuple[int, Iterable[bytes]],
        window: Any = apache_beam.DoFn.WindowParam,
    ) -> Iterator[str]:
        """One pane. Where a bundle is tried again, its shard has the same name and is there."""
        tables = [pa.ipc.open_stream(encoded).read_all() for encoded in element[1]]
        if not tables:  # the end of an hour of which all was landed
            return
        table = pa.concat_tables(tables).sort_by([("time", "ascending"), ("id", "ascending")])
        with portable():
            hour = window.start.micros // 1_000_000 // HOUR
            written = shard.land_by_ids(self._root, hour, self._topic, table)
        self._counts[sift.LANDED].inc(written.rows)
        self._counts[sift.THERE].inc(written.there)
        if written.path:
            yield written.path


def _divided(table: pa.Table, shards: int) -> Iterator[tuple[int, int, pa.Table]]:
    """(hour, file, its events); a user's events are all in one file of an hour."""
    users = table["user"].combine_chunks().dictionary_encode()
    of_user = np.array(
        [zlib.crc32(user.encode()) % shards for user in users.dictionary.to_pylist()], np.int64
    )
    keys = of_user[users.indices.to_numpy()] if len(table) else np.zeros(0, np.int64)
    hours = shard.hours(table)
    for hour, key in sorted({*zip(hours.tolist(), keys.tolist(), strict=True)}):
        yield hour, key, table.filter(pa.array((hours == hour) & (keys == key)))


def _encoded(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


def _dead(
    message: PubsubMessage, topic: str, group: str, reason: str, published: float
) -> PubsubMessage:
    """As the queue's own dead messages are, so that the same commands show and revive them."""
    told: dict[str, Any] = {
        **(message.attributes or {}),
        dead.TOPIC: topic,
        "podway-id": message.message_id or "",
        "podway-published": f"{published:.3f}",
        dead.GROUP: group,
        dead.REASON: reason[:500],
    }
    return PubsubMessage(message.data, told, ordering_key=message.ordering_key or "")
