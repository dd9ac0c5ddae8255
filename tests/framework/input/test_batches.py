import itertools

import numpy as np
import pytest
from etils import epath

from podway.framework.input.batches import (
    TrainBatches,
    batch_shapes,
    evaluation_batches,
    read_ahead,
)
from podway.framework.input.columns import Ragged, elapsed
from podway.framework.input.packing import SEGMENT
from podway.framework.schema.schema import OUT_OF_VOCABULARY, PADDING
from tests.framework.conftest import USERS, times_of, write_dataset

LENGTHS = {"user": 1, "item": 6}


def batches(dataset, batch_size=7, steps=100, **options):
    options = {"seed": 0, "window": 2} | options
    return TrainBatches(dataset, LENGTHS, batch_size=batch_size, steps=steps, **options)


def rows(dataset, start, stop, **options):
    """Rows start … stop of the endless sequence, as tuples."""
    source = batches(dataset, batch_size=1, steps=stop, **options)
    return [(int(source[i]["user"][0]), tuple(source[i]["item"][0])) for i in range(start, stop)]


def test_an_epoch_holds_each_example_once_and_epochs_differ(dataset):
    first, second = rows(dataset, 0, USERS), rows(dataset, USERS, 2 * USERS)
    assert sorted(user for user, _ in first) == list(range(2, USERS + 2))
    assert sorted(first) == sorted(second)
    assert first != second
    assert rows(dataset, 0, USERS, seed=1) != first


def test_a_share_is_of_each_block_nested_and_the_same_in_each_epoch(dataset):
    sizes = np.ceil(0.3 * dataset.blocks("train").rows).astype(int)
    count = int(sizes.sum())
    small = rows(dataset, 0, count, share=0.3)
    assert len({user for user, _ in small}) == count
    assert sorted(small) == sorted(rows(dataset, count, 2 * count, share=0.3))
    assert small != rows(dataset, count, 2 * count, share=0.3)
    assert set(small) == set(rows(dataset, 0, count, share=0.3, seed=5)), "whatever the seed"
    large = int(np.ceil(0.7 * dataset.blocks("train").rows).sum())
    assert set(small) < set(rows(dataset, 0, large, share=0.7))
    assert rows(dataset, 0, USERS, share=1.0) == rows(dataset, 0, USERS)


def test_items_are_the_latest_ones_padded_at_the_end(dataset, histories):
    for user, items in rows(dataset, 0, USERS):
        expected = list(histories[user - 2][:-2][-6:])
        assert list(items) == expected + [PADDING] * (6 - len(expected))


def test_a_random_crop_draws_every_stretch_and_only_stretches(dataset, histories):
    drawn = rows(dataset, 0, 60 * USERS, crop="random")
    for user in (2, 30, 60):
        history = histories[user - 2][:-2]
        stretches = {tuple(history[i : i + 6]) for i in range(max(len(history) - 5, 1))}
        seen = {tuple(v for v in items if v != PADDING) for each, items in drawn if each == user}
        assert seen == stretches
    assert any(len(histories[user - 2]) > 10 for user in (2, 30, 60))
    assert drawn == rows(dataset, 0, 60 * USERS, crop="random")


def test_the_sequence_does_not_depend_on_the_batch_size(dataset):
    one = rows(dataset, 0, 210)
    source = batches(dataset, batch_size=7)
    seven = [
        (int(user), tuple(items))
        for i in range(30)
        for user, items in zip(source[i]["user"], source[i]["item"], strict=True)
    ]
    assert seven == one


def test_a_position_can_be_entered_anywhere(dataset):
    whole = list(read_ahead(batches(dataset, steps=40), 0))
    rest = list(read_ahead(batches(dataset, steps=40), 25))
    assert len(whole) == 40
    assert len(rest) == 15
    for a, b in zip(whole[25:], rest, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in LENGTHS)


def test_rows_are_shuffled_within_windows_only(dataset):
    blocks = dataset.blocks("train")
    users = [blocks.read(np.array([i]))["user"] for i in range(len(blocks.rows))]
    block_of = {int(user): i for i, part in enumerate(users) for user in part}
    order = [block_of[user] for user, _ in rows(dataset, 0, USERS, window=2)]
    first = int(blocks.rows[order[0]]) + int(blocks.rows[next(b for b in order if b != order[0])])
    assert len(set(order[:first])) == 2, "the first window is two whole blocks"
    changes = sum(a != b for a, b in itertools.pairwise(order[:first]))
    assert changes > 5, "rows of both are mixed"


@pytest.mark.parametrize("batch_size", [1, 32, 96, 100])
def test_evaluation_reads_every_example_once(dataset, histories, batch_size):
    seen = []
    for batch in evaluation_batches(dataset, "test", history=16, batch_size=batch_size):
        assert batch["history"].shape == (batch_size, 16)
        for history, target, valid in zip(
            batch["history"], batch["target"], batch["valid"], strict=True
        ):
            if valid:
                seen.append((tuple(history[history != PADDING]), int(target)))
    expected = [(tuple(items[:-1]), int(items[-1])) for items in histories]
    assert sorted(seen) == sorted(expected)


@pytest.mark.parametrize("trained", [0, 5])
def test_evaluation_leaves_out_what_training_never_saw(tmp_path, histories, trained):
    """As the served model does: nothing trained the embedding of OUT_OF_VOCABULARY."""
    histories = [items.copy() for items in histories]
    for items in histories:
        items[-2] = OUT_OF_VOCABULARY
    dataset = write_dataset(epath.Path(tmp_path) / "d", histories, unknown=trained)
    (batch,) = evaluation_batches(dataset, "test", history=16, batch_size=USERS)
    found = [tuple(row[row != PADDING]) for row in batch["history"]]
    assert found == [tuple(items[: -1 if trained else -2]) for items in histories]


def seconds_between(times):
    """Of each event after the one before it, by Python's integers."""
    return tuple(b // 10**6 - a // 10**6 for a, b in itertools.pairwise(times.tolist()))


def test_times_are_whole_seconds_since_the_first_of_a_row():
    second, days = 10**6, 86_400 * 10**6
    times = [-second, 0, days * 365 * 80, 7, 1_999_999, 2 * second]
    lists = Ragged(np.array(times, np.int64), np.array([0, 3, 3, 6, 6]))
    found = elapsed(lists)
    assert found.values.dtype == np.int32
    assert found.values.tolist() == [0, 1, 2**31 - 1, 0, 1, 2]
    assert found.offsets is lists.offsets


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("crop", ["latest", "random"])
def test_times_go_with_their_items(dataset, histories, crop, pack):
    stretches = set()
    for history in histories:
        trained, times = history[:-2], times_of(history)[:-2]
        for start, length in itertools.product(range(len(trained)), range(1, 7)):
            part = slice(start, start + length)
            stretches.add((*trained[part].tolist(), *seconds_between(times[part])))
    lengths, options = {"item": 6, "time": 6}, {"crop": crop, "pack": pack, "window": 2}
    source = TrainBatches(dataset, lengths, batch_size=9, steps=60, seed=0, **options)
    read = 0
    for batch in map(source.__getitem__, range(60)):
        assert batch["time"].dtype == np.int32
        assert (batch["time"][batch["item"] == PADDING] == 0).all()
        segment = batch[SEGMENT] if pack else batch["item"] != PADDING
        for item, time, number in zip(batch["item"], batch["time"], segment, strict=True):
            for each in set(number.tolist()) - {0}:
                own = number == each
                assert (*item[own].tolist(), *np.diff(time[own]).tolist()) in stretches
                read += 1
    assert read >= 60 * 9
    shapes = batch_shapes(dataset.schema, lengths, 9, pack=pack)
    assert {name: (each.shape, each.dtype) for name, each in source[0].items()} == shapes


@pytest.mark.parametrize("trained", [0, 5])
def test_evaluation_reads_the_times_of_what_is_in_the_history(tmp_path, histories, trained):
    histories = [items.copy() for items in histories]
    for items in histories:
        items[2] = OUT_OF_VOCABULARY
    dataset = write_dataset(epath.Path(tmp_path) / "d", histories, unknown=trained)
    batches = evaluation_batches(dataset, "test", history=9, batch_size=USERS, times=True)
    (batch,) = batches
    for items, time, history in zip(batch["history"], batch["time"], histories, strict=True):
        known = np.full(len(history) - 1, True) if trained else history[:-1] != OUT_OF_VOCABULARY
        wanted = times_of(history)[:-1][known][-9:]
        assert tuple(np.diff(time[items != PADDING]).tolist()) == seconds_between(wanted)
