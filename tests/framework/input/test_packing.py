"""Packed rows: of the reader, then of the models."""

import contextlib
import dataclasses
import importlib
import pickle
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import models, task
from podway.framework.config import Mesh
from podway.framework.devices import mesh
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import ConfigError
from podway.framework.input import packing
from podway.framework.input.batches import TrainBatches, read_ahead
from podway.framework.models.bert4rec import Bert4Rec
from podway.framework.models.decoder import Decoder
from podway.framework.models.hstu import Hstu
from podway.framework.models.parts.attention import AttentionMask
from podway.framework.models.parts.causal import CausalModel
from podway.framework.models.parts.item_losses import GBce
from podway.framework.models.parts.transformer import Block
from podway.framework.models.sasrec import SasRec
from podway.framework.schema.schema import PADDING
from podway.framework.training.program import build_program
from tests.framework.conftest import USERS
from tests.framework.experiments import noisy, walks

LENGTH = 10
MODELS = {
    "sasrec": SasRec(width=8, blocks=2, heads=2, feed_forward=2, max_length=9, dropout=0.0),
    "hstu": Hstu(width=8, blocks=2, heads=2, max_length=9, dropout=0.0),
    "hstu by time": Hstu(width=8, blocks=2, heads=2, max_length=9, dropout=0.0, time_buckets=40),
    "decoder": Decoder(
        width=8, layers=2, heads=4, kv_heads=2, head_width=6, feed_forward=10, max_length=9
    ),
}


def batches(dataset, batch_size=8, steps=40, **options):
    options = {"seed": 0, "window": 2, "pack": True} | options
    return TrainBatches(dataset, {"item": LENGTH}, batch_size=batch_size, steps=steps, **options)


def rows_in_an_epoch(dataset):
    return int(packing.count_rows(dataset.blocks("train"), "item", LENGTH).sum())


def unpacked(batch):
    """The histories of a batch, in order, checked to lie as SEGMENT says."""
    for item, segment in zip(batch["item"], batch[packing.SEGMENT], strict=True):
        assert ((item == PADDING) == (segment == 0)).all()
        assert (np.diff(segment[segment > 0]) >= 0).all(), "histories follow each other"
        assert not (segment == 0)[: np.count_nonzero(segment)].any(), "padding is at the end"
        assert set(segment[segment > 0]) == set(range(1, segment.max() + 1))
        for number in range(1, segment.max() + 1):
            yield tuple(item[segment == number].tolist())


def together(batch):
    """The histories of each row."""
    rows = range(len(batch["item"]))
    return {
        frozenset(unpacked({name: each[row : row + 1] for name, each in batch.items()}))
        for row in rows
    }


@pytest.mark.parametrize("crop", ["latest", "random"])
def test_an_epoch_holds_each_history_once(dataset, histories, crop):
    rows = rows_in_an_epoch(dataset)
    source = batches(dataset, batch_size=rows, steps=2, crop=crop)
    first, second = ([*unpacked(source[at])] for at in (0, 1))
    trained = [tuple(each[:-2].tolist()) for each in histories]
    if crop == "latest":
        assert sorted(first) == sorted(second) == sorted(each[-LENGTH:] for each in trained)
    else:
        longest = sorted(map(len, first))
        assert longest == sorted(min(len(each), LENGTH) for each in trained)
        assert sorted(first) != sorted(second)
        text = [",".join(map(str, each)) for each in trained]
        assert all(any(",".join(map(str, each)) in t for t in text) for each in first)
    assert first != second, "another order in each epoch"
    assert together(source[0]) != together(source[1]), "other histories share a row"
    longest = (source[0][packing.SEGMENT] == 1).sum(1)
    assert (np.diff(longest) > 0).sum() > 2 * len(dataset.blocks("train").rows), "rows are shuffled"
    assert rows < USERS
    assert (source[0]["item"] != PADDING).mean() > 0.88, "of small blocks, of 6 to 20 histories"


def test_the_sequence_is_a_function_of_the_position_alone(dataset):
    """Of neither the batch's size, the rows that a process reads, the readers nor a restart."""

    def same(one, other):
        return all(np.array_equal(one[name], other[name]) for name in ("item", "segment"))

    source = batches(dataset)
    whole = [source[at] for at in range(40)]
    assert len({each["item"].tobytes() for each in whole}) == 40
    halves = [batches(dataset, rows=[rows], readers=3) for rows in ((0, 4), (4, 8))]
    for at in (0, 7, 39, 12):
        parts = [half[at] for half in halves]
        assert same(
            {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, whole[at]
        )
    pairs = batches(dataset, batch_size=16, steps=20)
    assert np.array_equal(pairs[9]["item"][8:], whole[19]["item"])
    resumed = list(read_ahead(pickle.loads(pickle.dumps(source)), 25))
    assert len(resumed) == 15
    assert all(same(one, other) for one, other in zip(resumed, whole[25:], strict=True))
    assert not same(batches(dataset, seed=1)[0], whole[0])


def test_rows_are_filled_with_what_fits_best():
    lengths = np.array([10, 7, 6, 5, 4, 3, 3, 1, 0])
    assert packing.rows_of(lengths, 10).tolist() == [0, 1, 2, 3, 2, 1, 3, 3, 1]
    draw = np.random.default_rng(0)
    drawn = -np.sort(-draw.integers(0, 51, 3000))
    rows = packing.rows_of(drawn, 50)
    assert np.bincount(rows, weights=drawn).max() <= 50
    assert rows.max() + 1 <= 1.03 * drawn.sum() / 50


HISTORIES = [[5, 9, 3, 8], [6, 1, 7], [4, 4], [11, 2, 3, 5, 6], [8]]
"""Of which the first three and the other two share a row; item 1 is out of vocabulary."""


def alone(history):
    """A batch of one history; its times are a function of its items."""
    padding = [PADDING] * (LENGTH - len(history))
    item = np.array([history + padding], np.int32)
    return {"item": jnp.asarray(item), "time": jnp.asarray(np.cumsum(item**4, axis=1))}


def packed_batch(histories=HISTORIES):
    item, segment, time = np.zeros((3, 2, LENGTH), np.int32)
    for row, group in enumerate((histories[:3], histories[3:])):
        values = np.concatenate(group)
        item[row, : len(values)] = values
        time[row, : len(values)] = np.concatenate(
            [alone(each)["time"][0, : len(each)] for each in group]
        )
        segment[row, : len(values)] = np.repeat(1 + np.arange(len(group)), [*map(len, group)])
    columns = {"item": item, "time": time, packing.SEGMENT: segment}
    return {name: jnp.asarray(each) for name, each in columns.items()}


def measurer(model, built, dataset):
    """A function of a batch: the loss, its weight, and the states of all positions.

    Items are drawn for the batch, the same whatever it is.
    """
    graph, parameters = built

    @jax.jit
    def measure(batch):
        states = []

        class Recorded:
            """The module, whose states are kept."""

            def __init__(self, module):
                self.module = module

            def __getattr__(self, name):
                return getattr(self.module, name)

            def __call__(self, *arguments):
                states.append(self.module(*arguments))
                return states[-1]

        lookups = model.lookups(dataset.schema, batch, jax.random.key(1))
        rows = {
            name: EmbeddedRows(parameters[each.path][each.ids], each.ids)
            for name, each in lookups.items()
        }
        module = Recorded(task.merge(graph, parameters))
        return *model.loss(module, batch, rows, task.ForwardContext())[:2], states[0]

    return measure


SHARED = GBce(negatives=5, drawn_for="batch")


@pytest.mark.parametrize("name", [*MODELS, "sampled"])
def test_the_loss_of_packed_histories_is_that_of_each_alone(name, dataset):
    model = MODELS.get(name) or dataclasses.replace(MODELS["sasrec"], objective=SHARED)
    measure, total, count = measurer(model, noisy(model, dataset.schema), dataset), 0.0, 0.0
    for history in HISTORIES:
        loss, weight, _ = measure(alone(history))
        total, count = total + float(loss * weight), count + float(weight)
    loss, weight, _ = measure(packed_batch())
    assert weight == count == 3 + 1 + 1 + 4 + 0
    np.testing.assert_allclose(loss, total / count, rtol=1e-5)


def check_borders(model, dataset):
    """Changes all items of one history. Raises AssertionError if any bit of what is said of the
    others changes."""
    measure = measurer(model, noisy(model, dataset.schema), dataset)
    before, after = (
        np.asarray(measure(packed_batch([HISTORIES[0], changed, *HISTORIES[2:]]))[2])
        for changed in (HISTORIES[1], [12, 13, 14])
    )
    theirs = np.asarray(packed_batch()[packing.SEGMENT])[:, :-1] == 2
    theirs[1] = False
    np.testing.assert_array_equal(before[~theirs], after[~theirs])
    assert (before[theirs] != after[theirs]).any(-1).all()


@pytest.mark.parametrize("name", MODELS)
def test_nothing_crosses_the_border_of_a_history(name, dataset):
    assert MODELS[name].packs()
    check_borders(MODELS[name], dataset)


def test_every_model_that_says_it_packs_is_put_through_this():
    found = set()
    for module in pkgutil.iter_modules(models.__path__, f"{models.__name__}."):
        for each in vars(importlib.import_module(module.name)).values():
            if isinstance(each, type) and issubclass(each, task.TrainedModel):
                with contextlib.suppress(NotImplementedError, ConfigError):  # bases, or no defaults
                    found |= {each} if each().packs() else set()
    assert found == {type(model) for model in MODELS.values()}


class Blind(Block):
    """A block that lets each position see all before it, whosesoever they are."""

    def __call__(self, x, attention_mask, context, at=None):
        return super().__call__(x, AttentionMask(), context, at)


class Liar(Blind):
    """The same, and it says otherwise."""

    keeps_apart = True

    def __call__(self, x, attention_mask, context, at=None):
        return super().__call__(x, attention_mask, context, at)


@dataclasses.dataclass(frozen=True)
class Own(SasRec):
    """With a block of the test's."""

    kind: type[Block] = Blind

    def block_module(self, rngs):
        return self.kind(
            self.width, self.heads, 2 * self.width, self.dropout, self.block_kind, rngs
        )


def test_a_block_that_promises_nothing_is_not_packed(dataset):
    assert not Own().packs()
    assert not CausalModel.packs(Own())
    experiment = dataclasses.replace(walks(pack=True), model=Own(width=16, max_length=8))
    with pytest.raises(ConfigError, match=r"trainer\.pack: Own cannot tell apart"):
        build_program(experiment, dataset.schema, mesh.build(Mesh(data=1)))


def test_a_block_that_does_not_keep_its_promise_is_caught(dataset):
    liar = Own(width=8, blocks=2, heads=2, max_length=9, dropout=0.0, kind=Liar)
    assert liar.packs()
    with pytest.raises(AssertionError):
        check_borders(liar, dataset)


def test_a_model_trains_on_packed_rows(dataset):
    """The whole step, with sparse gradients of positions, accumulation and remat."""
    experiment = walks(pack=True, accumulate=2, remat="blocks")
    devices = mesh.build(Mesh(data=1))
    program = build_program(experiment, dataset.schema, devices)
    source = TrainBatches(
        dataset, program.lengths, batch_size=16, steps=20, seed=0, window=2, pack=True
    )
    state, losses, filled = program.initialize(), [], []
    for batch in read_ahead(source, 0, place=program.place):
        state, metrics = program.step(state, batch)
        losses.append(float(metrics["loss"]))
        filled.append(float(metrics["filled_positions"]))
    assert losses[-1] < 0.9 * losses[0]
    assert np.mean(filled) > 0.85


def test_what_cannot_be_packed_is_an_error(dataset):
    with pytest.raises(ConfigError, match=r"trainer\.pack .* \(user\): set trainer\.pack to False"):
        TrainBatches(
            dataset, {"item": 6, "user": 1}, batch_size=2, steps=1, seed=0, window=2, pack=True
        )
    experiment = dataclasses.replace(walks(pack=True), model=Bert4Rec(width=16, max_length=8))
    with pytest.raises(ConfigError, match=r"trainer\.pack: Bert4Rec cannot tell apart"):
        build_program(experiment, dataset.schema, mesh.build(Mesh(data=1)))
