import itertools

import numpy as np
import pytest
from etils import epath

from framework import input
from framework.schema import OUT_OF_VOCABULARY, PADDING
from tests.framework.conftest import USERS, write_dataset

LENGTHS = {"user": 1, "item": 6}


def batches(dataset, batch_size=7, steps=100, **options):
    options = {"seed": 0, "window": 2} | options
    return input.TrainBatches(dataset, LENGTHS, batch_size=batch_size, steps=steps, **options)


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
    whole = list(input.read_ahead(batches(dataset, steps=40), 0))
    rest = list(input.read_ahead(batches(dataset, steps=40), 25))
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
    for batch in input.evaluation_batches(dataset, "test", history=16, batch_size=batch_size):
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
    for items in histories:
        items[-2] = OUT_OF_VOCABULARY
    dataset = write_dataset(epath.Path(tmp_path) / "d", histories, unknown=trained)
    (batch,) = input.evaluation_batches(dataset, "test", history=16, batch_size=USERS)
    found = [tuple(row[row != PADDING]) for row in batch["history"]]
    assert found == [tuple(items[: -1 if trained else -2]) for items in histories]
