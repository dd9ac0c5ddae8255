"""The dataset of what was landed is the dataset of the same events in one file."""

import functools
import random

import pytest

from podway.beam import dataset, overview
from podway.framework import artifact
from podway.framework.config import Columns, Data, JsonLines, Parquet
from podway.framework.config.features import Numeric
from podway.online.events.event import encode
from tests.beam.conftest import report_of
from tests.beam.extending import same
from tests.online.lander.conftest import HOUR, Place, event, message, now_hour, until

FIELDS = {"min_user_events": 1, "min_item_events": 1, "shards": 2}


def data(path, format, *features) -> Data:
    return Data("events", str(path), format, Columns(id="id"), features=features, **FIELDS)


def fingerprint(directory) -> str:
    return overview.fingerprint(artifact.read(directory, "dataset"))


@pytest.fixture
def events():
    begin = now_hour() - 2 * HOUR
    return [event(at, begin + at * 12.125, seconds=at / 8) for at in range(900)]


def deliver(place: Place, events, seed: int) -> None:
    """In pieces, in another order, and some again; by landers that come and go."""
    generator = random.Random(seed)
    again = [*events, *generator.sample(events, len(events) // 3)]
    generator.shuffle(again)
    for part in range(2):
        mine = again[part::2]
        with place.lander(seconds=0.1, rows=100) as running:
            for at in range(0, len(mine), 150):
                place.publish([message(one) for one in mine[at : at + 150]])
            until(functools.partial(all_landed, running, len(mine)))


def all_landed(running, count: int) -> bool:
    return running.count("landed") == count


def test_landed_in_pieces_is_the_same_dataset_as_at_once(place: Place, events, tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"".join(encode(one) + b"\n" for one in events))
    whole = dataset.build(data(file, JsonLines(), Numeric("seconds")), tmp_path / "whole")
    deliver(place, events, 1)
    landed = dataset.build(data(place.root, Parquet(), Numeric("seconds")), tmp_path / "landed")
    assert fingerprint(landed) == fingerprint(whole)
    report = report_of(landed)
    assert (report["rows"], report["kept"], report["filtered"]["duplicate"]) == (1200, 900, 300)


def test_since_reads_what_is_new_and_knows_what_came_before(place: Place, events, tmp_path):
    deliver(place, events[:600], 2)
    growing = data(place.root, Parquet())
    dataset.build(growing, tmp_path / "w")
    deliver(place, events[500:], 3)  # late ones go to hours that were read before
    extended, fresh = dataset.extend(growing, tmp_path / "w", "latest")
    assert fresh
    same(extended, dataset.build(growing, tmp_path / "anew"))
    assert report_of(extended)["kept"] == 900
