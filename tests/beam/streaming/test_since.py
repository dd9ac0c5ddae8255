"""`--since` over what the Beam pipeline landed gives the dataset of what the lander landed."""

import random

from apache_beam.testing.test_stream import TestStream as Stream

from podway.beam import dataset, overview
from podway.framework import artifact
from podway.framework.config import Columns, Data, Parquet, online
from tests.beam.conftest import report_of
from tests.beam.streaming.test_pipeline import run, sent
from tests.online.lander.conftest import HOUR, Place, event, message, now_hour, until


def by_beam(root, events) -> None:
    stream = Stream().advance_watermark_to(events[0].time - HOUR)
    for at in range(3):
        published = max(one.time for one in events) + 1 + at
        stream = stream.add_elements([sent(one, published) for one in events[at::3]])
        stream = stream.advance_processing_time(30).advance_watermark_to(published)
    run(stream.advance_watermark_to_infinity(), root)


def by_lander(place: Place, events) -> None:
    place.publish([message(one) for one in events])
    with place.lander(rows=70), place.queue() as queue:
        until(lambda: queue.lags("events") == {"lander": 0}, 60.0)


def extended(root, workdir, land, first, second) -> tuple[str, dict]:
    """The fingerprint of a dataset that was built of the first events and grew by the second."""
    data = Data(
        "e", str(root), Parquet(), Columns(id="id"), min_user_events=1, min_item_events=1, shards=2
    )
    land(first)
    before = dataset.build(data, workdir)
    land(second)
    directory, fresh = dataset.extend(data, workdir, "latest")
    assert fresh
    assert directory != before
    return overview.fingerprint(artifact.read(directory, "dataset")), report_of(directory)


def test_both_landers_give_one_dataset_when_it_grows(tmp_path):
    begin = now_hour() - 2 * HOUR
    events = [event(at, begin + at * 20.125, seconds=at / 8) for at in range(400)]
    order = random.Random(3)
    order.shuffle(events)
    # Some come twice, and the second half has events of hours that were read before.
    first, second = [*events[:250], *events[:40]], [*events[200:], *events[300:320]]
    place = Place(
        tmp_path / "l",
        online.SqliteQueue(path=str(tmp_path / "queue.sqlite"), durable=False),
        online.Topics(partitions=3),
    )
    mine = extended(place.root, tmp_path / "w1", lambda some: by_lander(place, some), first, second)
    root = tmp_path / "beam"
    theirs = extended(root, tmp_path / "w2", lambda some: by_beam(root, some), first, second)
    assert mine[0] == theirs[0]
    for _, report in (mine, theirs):
        assert (report["kept"], report["rows"]) == (400, len(first) + len(second))
