"""The histories that a dataset's examples show, against the raw events."""

import numpy as np
import pytest

from podway.beam import dataset as beam_dataset
from podway.framework.config import GlobalTime, LeaveOneOut, RowExamples
from podway.framework.config.features import Label
from podway.framework.input.dataset import Dataset
from podway.launch.loaded.error import RequestError
from podway.launch.loaded.users import Users
from tests.launch import world

SPLITS = {"leave one out": LeaveOneOut(), "global time": GlobalTime(0.5, 0.7)}


def raw() -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {}
    for user, item, time in sorted(world.events(), key=lambda event: event[2]):
        found.setdefault(user, []).append((time, item))
    return found


def shown(split, cuts, events, *, targets: bool) -> list[tuple[int, str]] | None:
    """What the examples show of a user, event by event; None: training has nothing of it."""
    if isinstance(split, LeaveOneOut):
        held_out = len(events) >= 3
        return events if targets or not held_out else events[:-1]
    trained, before = ([e for e in events if e[0] < cut] for cut in cuts)
    if not trained:
        return None
    if len(before) < len(events):  # a test example
        return events[: len(before) + targets]
    if len(trained) < len(before):  # none, but one of the validation
        return events[: len(trained) + 1]
    return trained


@pytest.fixture(scope="module", params=SPLITS.values(), ids=SPLITS.keys())
def dataset(request, folder, tmp_path_factory) -> tuple[Dataset, object]:
    data = world.data(folder, name="users", split=request.param, max_items=26)
    return Dataset.open(beam_dataset.build(data, tmp_path_factory.mktemp("w"))), request.param


@pytest.mark.parametrize("targets", [False, True])
def test_histories_are_what_the_split_shows_of_the_raw_events(dataset, targets):
    found, split = dataset
    users = Users(found, timed=True, targets=targets)
    cuts = found.manifest.details["cuts"]
    if cuts:
        cuts = [cut // 1_000_000 for cut in cuts]
    expected = {
        user: history
        for user, events in raw().items()
        if (history := shown(split, cuts, events, targets=targets)) is not None
    }
    assert set(users.names) == set(expected)
    draw = np.random.default_rng(0)
    order = draw.permutation(len(users))
    histories = users.read(order)
    ids = found.vocabulary("item").ids
    assert histories.names == tuple(users.names[place] for place in order)
    assert histories.times is not None
    for row, place in enumerate(order):
        part = slice(histories.offsets[row], histories.offsets[row + 1])
        wanted = expected[users.names[place]]
        assert histories.times[part].tolist() == [time for time, _ in wanted]
        assert histories.ids[part].tolist() == [ids.get(item, 1) for _, item in wanted]


def test_users_are_found_by_name_in_any_order_and_twice(dataset):
    users = Users(dataset[0], timed=False)
    names = [users.names[at] for at in (5, 0, 5)]
    found = users.read(users.places(names))
    assert found.names == tuple(names)
    assert found.times is None
    assert found[0:1].ids.tolist() == found[2:3].ids.tolist()
    assert len(users.read(np.array([], np.int64))) == 0
    with pytest.raises(RequestError, match="1 of 2 users are not in the dataset"):
        users.places([names[0], "nobody"])


def test_rows_are_no_histories(folder, tmp_path):
    data = world.data(folder, examples=RowExamples(), features=(Label("at", above=1.0),), tables=())
    dataset = Dataset.open(beam_dataset.build(data, tmp_path))
    with pytest.raises(RequestError, match="single events as examples, and no histories"):
        Users(dataset, timed=False)
