"""Events as they come → shards by the hour, also behind the watermark; the rest among the dead."""

import datetime
import itertools
import random

import apache_beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.testing.test_stream import TestStream as Stream
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import TimestampedValue

from podway.beam import dataset, overview
from podway.beam.streaming import pipeline
from podway.framework import artifact
from podway.framework.config import Columns, Data, Parquet, online
from podway.online.events.event import Event, encode
from podway.online.lander import shard

NOON = 1_700_049_600.0
"""2023-11-15 12:00:00 UTC."""


def play(at: int, time: float) -> Event:
    return Event("play", f"u{at % 5}", f"i{at % 7}", time, f"e{at}", fields={"seconds": at / 4})


def sent(one: Event, published: float) -> TimestampedValue:
    return TimestampedValue(PubsubMessage(encode(one), {"trace": "t"}, one.id), published)


def run(stream: Stream, root, check=lambda dead: None, **fields):
    config = online.Online(lander=online.Lander(**{"seconds": 10, **fields}))
    options = PipelineOptions(["--streaming"])
    with apache_beam.Pipeline(runner=BundleBasedDirectRunner(), options=options) as graph:
        landed, dead = pipeline.assemble(graph | stream, "events", str(root), config, 2)
        assert_that(dead, check, label="dead")
        del landed


def rows(root) -> dict[str, list[str]]:
    """Hour → ids of its shards, shard by shard."""
    found: dict[str, list[str]] = {}
    for path in sorted(root.glob("date=*/hour=*/*.parquet")):
        table = pq.read_table(path, partitioning=None)
        found.setdefault("/".join(path.parts[-3:-1]), []).append(table["id"].to_pylist())
    return found


def flat(shards) -> list[str]:
    return sorted(itertools.chain(*shards))


def test_hours_panes_and_what_comes_behind_the_watermark(tmp_path):
    first = [play(at, NOON + at) for at in range(40)]
    later = [play(at, NOON + 3600 + at) for at in range(40, 60)]
    late = [play(at, NOON + 100 + at) for at in range(60, 70)]
    stream = (
        Stream()
        .advance_watermark_to(NOON)
        .add_elements([sent(one, one.time + 1) for one in first[:20]])
        .advance_processing_time(20)  # an early pane
        .add_elements([sent(one, one.time + 1) for one in first[20:]])
        .advance_processing_time(20)
        .advance_watermark_to(NOON + 3600 + 5)  # the hour is over
        .add_elements([sent(one, one.time + 1) for one in later])
        .advance_watermark_to(NOON + 3 * 3600)
        .add_elements([sent(one, NOON + 3 * 3600 + 1) for one in late])
        .advance_processing_time(20)
        .advance_watermark_to_infinity()
    )
    run(stream, tmp_path)
    found = rows(tmp_path)
    assert set(found) == {"date=2023-11-15/hour=12", "date=2023-11-15/hour=13"}
    noon, one = found["date=2023-11-15/hour=12"], found["date=2023-11-15/hour=13"]
    assert flat(noon) == sorted(each.id for each in [*first, *late])
    assert flat(one) == sorted(each.id for each in later)
    assert {each.id for each in late} in [{*a} | {*b} for a in noon for b in noon]
    assert len(noon) == 6  # two files of each pane


def test_what_is_no_event_is_dead_with_the_reason(tmp_path):
    old, ahead = play(1, NOON - 40 * 86_400), play(2, NOON + 9_000)
    oldest = play(3, NOON - 29 * 86_400)
    stream = (
        Stream()
        .advance_watermark_to(NOON - 1)
        .add_elements(
            [
                sent(play(0, NOON), NOON),
                sent(old, NOON),
                sent(ahead, NOON),
                sent(oldest, NOON),
                TimestampedValue(PubsubMessage(b"{", {"trace": "t"}, "m"), NOON),
            ]
        )
        .advance_processing_time(20)
        .advance_watermark_to_infinity()
    )

    def check(dead: list[PubsubMessage]) -> None:
        told = {one.data: one.attributes for one in dead}
        assert set(told) == {encode(old), encode(ahead), b"{"}
        assert "40.0 days before the message" in told[encode(old)]["podway-reason"]
        assert "9000 s after the message" in told[encode(ahead)]["podway-reason"]
        assert {each["podway-topic"] for each in told.values()} == {"events"}
        assert {each["trace"] for each in told.values()} == {"t"}

    run(stream, tmp_path, check)
    assert flat(itertools.chain(*rows(tmp_path).values())) == ["e0", "e3"]


def test_a_pane_that_is_landed_again_is_there(tmp_path):
    table = pa.table({"id": ["a", "b"], "time": pa.array([5, 6], pa.timestamp("us", "UTC"))})
    first = shard.land_by_ids(str(tmp_path), 0, "events", table)
    again = shard.land_by_ids(str(tmp_path), 0, "events", table)
    assert (first.rows, again.rows, again.there) == (2, 0, 2)


def test_the_dataset_is_that_of_one_file(tmp_path):
    events = [play(at, NOON + at * 25) for at in range(400)]
    shuffled = [*events, *events[:100]]
    random.Random(0).shuffle(shuffled)
    stream = Stream().advance_watermark_to(NOON - 1)
    for at in range(5):
        published = NOON + 12_000 + at
        stream = stream.add_elements([sent(one, published) for one in shuffled[at::5]])
        stream = stream.advance_processing_time(30).advance_watermark_to(published + 1)
    run(stream.advance_watermark_to_infinity(), tmp_path / "landed")
    day = datetime.datetime.fromtimestamp(NOON, datetime.UTC)
    table = pa.table(
        {
            "id": [one.id for one in events],
            "user": [one.user for one in events],
            "item": [one.item for one in events],
            "time": pa.array([one.time * 1e6 for one in events]).cast("int64"),
        }
    )
    (tmp_path / f"{day:%Y}").mkdir()
    pq.write_table(table, tmp_path / f"{day:%Y}" / "all.parquet")

    def built(path) -> str:
        columns = Columns(id="id")
        data = Data(
            "e", str(path), Parquet(), columns, min_user_events=1, min_item_events=1, shards=2
        )
        return overview.fingerprint(artifact.read(dataset.build(data, tmp_path / "w"), "dataset"))

    assert built(tmp_path / "landed") == built(tmp_path / f"{day:%Y}")
