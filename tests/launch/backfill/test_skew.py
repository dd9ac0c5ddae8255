"""No training/serving skew: at each time, a history online is what the dataset shows a model.

The dataset is built by the data stage; the same events come by the queue, in any order, some twice,
and from the backfill. Compared is what a served model makes of both: ids of its vocabulary, and
unknown items left out, unless its training had some (export/graph/recommender.py).
"""

import csv
import random

import numpy as np
import pytest

from podway.beam import dataset as beam_dataset
from podway.framework.config import Columns, Data, GlobalTime, LeaveOneOut
from podway.framework.config.features import Gap
from podway.framework.config.online import Events, Nearline
from podway.framework.input.columns import Ragged
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import OUT_OF_VOCABULARY
from podway.launch.backfill import dataset as source
from podway.online.backfill import materialize
from podway.online.events.event import Event
from podway.online.nearline.apply import Writer
from podway.online.nearline.read import read
from podway.online.store import history as histories
from podway.online.store.memory import MemoryStore
from podway.online.store.store import HISTORY
from tests.online.nearline.doubles import START, received
from tests.online.store.conftest import content

NEARLINE = Nearline(types=("play",))


def events(chance: random.Random) -> list[Event]:
    """Many ties; several of one user, item and time; items and users that the k-core drops."""
    found = []
    for at in range(500):
        user = f"u{min(chance.randrange(40), chance.randrange(40))}"
        item = f"ï{min(chance.randrange(60), chance.randrange(60))}"
        time = START + chance.randrange(120) / 4
        found.append(Event("play", user, item, time, id=f"e{at}"))
        if chance.random() < 0.05:
            found.append(Event("play", user, item, time, id=f"e{at} once more"))
    return found


def data(folder, given: list[Event], **changes) -> Data:
    with (folder / "events.csv").open("w", newline="") as file:
        rows = [(event.user, event.item, event.time) for event in given]
        csv.writer(file).writerows([("user", "item", "time"), *rows])
    options = {
        "name": "skew",
        "path": str(folder / "events.csv"),
        "columns": Columns(time_unit="s"),
        "shards": 2,
        "min_user_events": 1,
        "min_item_events": 1,
        "features": (Gap("gap"),),
    }
    return Data(**(options | changes))


class Offline:
    """What the examples of a dataset show: for each target, the history before it."""

    def __init__(self, dataset: Dataset):
        self.vocabulary = dataset.vocabulary("item")
        self.keeps_unknown = self.vocabulary.counts[OUT_OF_VOCABULARY] > 0
        names = dataset.vocabulary("user").values
        self.examples: list[tuple[str, list[int], list[int], list[float], int | None]] = []
        for split in ("train", "validation", "test"):
            blocks = dataset.blocks(split)
            for block in range(len(blocks.rows)):
                columns = blocks.read(np.array([block]))
                lists = [columns[name] for name in ("item", "time", "gap")]
                target_times = columns.get("target_time")
                for row, user in enumerate(columns["user"]):
                    mine = []
                    for each in lists:
                        assert isinstance(each, Ragged)
                        mine.append(each.values[each.offsets[row] : each.offsets[row + 1]].tolist())
                    time = None if target_times is None else int(np.asarray(target_times)[row])
                    if names[user]:  # whom the train split does not have has no name
                        self.examples.append((names[user], *mine, time))

    def served(self, ids: list[int]) -> list[int]:
        return [id for id in ids if self.keeps_unknown or id != OUT_OF_VOCABULARY]

    def online(self, items: list[str]) -> list[int]:
        return self.served([self.vocabulary.id(item) for item in items])


CASES = {
    "as it is": {},
    "k-core": {"min_user_events": 4, "min_item_events": 6},
    "drop": {"duplicates": "drop"},
    "few items": {"max_items": 12},
    "global time": {"split": GlobalTime(0.5, 0.8), "min_item_events": 3},
    "latest": {"max_user_events": 6, "split": LeaveOneOut()},
}


SLOW = ("drop", "global time", "latest")


@pytest.mark.parametrize(
    "case", [pytest.param(each, marks=[pytest.mark.slow] * (each in SLOW)) for each in CASES]
)
def test_online_is_what_the_dataset_shows(case, tmp_path):
    chance = random.Random(case)
    given = events(chance)
    chosen = data(tmp_path, given, **CASES[case])
    directory = beam_dataset.build(chosen, tmp_path / "w")
    offline = Offline(Dataset.open(directory))
    most = chosen.max_user_events or 200
    nearline = Nearline(types=("play",), history=most)

    def by_queue(store, order: list[Event]) -> None:
        writer = Writer(store, nearline, chosen.duplicates)
        while order:
            size = chance.randrange(1, 60)
            writer.apply(read(received(order[:size]), nearline, Events()), START + 100)
            order = order[size:]

    def by_backfill(store) -> None:
        progress = materialize.Progress(store, "x")
        parts = source.parts(str(directory), most, users=7)
        materialize.fill(store, parts, progress, nearline, chosen.duplicates)

    again = given + chance.sample(given, 100)
    chance.shuffle(again)
    stores = {name: MemoryStore() for name in ("queue", "backfill", "both", "both, later")}
    by_queue(stores["queue"], again)
    by_backfill(stores["backfill"])
    by_queue(stores["both"], again[:250])
    by_backfill(stores["both"])
    by_queue(stores["both"], again[200:])
    by_backfill(stores["both, later"])
    by_queue(stores["both, later"], again)

    assert len(offline.examples) > 40
    compared = 0
    for name, store in stores.items():
        for user, ids, times, gaps, target_time in offline.examples:
            online = histories.unpack(content(store, HISTORY, user))
            if target_time is not None:  # all that came before the target's time, and its ties
                mine = offline.online(online.before((target_time + 1) / 1e6).items)
                assert mine[: len(offline.served(ids))] == offline.served(ids), (name, user)
            # At a random moment.
            moment = (chance.choice(times) if times else 0) + chance.choice((0, 1, 100_000))
            if times and moment <= times[-1]:
                known = [id for id, time in zip(ids, times, strict=True) if time < moment]
                then = online.before(moment / 1e6)
                assert offline.online(then.items) == offline.served(known), (name, user)
                compared += 1
            if "k-core" not in case and case != "global time":  # which drop events from between
                mine = np.array([entry.time for entry in online.entries[: len(times)]])
                assert mine.tolist() == times
                since = np.diff(mine, prepend=mine[:1]) / 1e6
                np.testing.assert_allclose(np.log1p(since), gaps, rtol=1e-6)
                assert online.seconds[: len(times)] == [time // 1_000_000 for time in times]
    assert compared > 100
    everyone = {event.user for event in given}
    for user in everyone:  # by whichever way, it is one history
        entries = {
            name: [(e.time, e.item) for e in histories.unpack(value.content).entries]
            for name, store in stores.items()
            if (value := store.read(HISTORY, [user])[0])
        }
        assert len(entries) == len(stores)
        assert len({tuple(each) for each in entries.values()}) == 1
