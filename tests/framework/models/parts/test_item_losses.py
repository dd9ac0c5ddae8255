"""Objectives against plain NumPy, a position at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.error import ConfigError
from podway.framework.losses import binary, chunks
from podway.framework.models.parts.item_losses import (
    Bce,
    FullSoftmax,
    GBce,
    Predictions,
    SampledSoftmax,
)
from podway.framework.schema.schema import FIRST_VALUE

BATCH, LENGTH, WIDTH, ITEMS = 6, 5, 4, 22


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    hidden = generator.normal(size=(BATCH, LENGTH, WIDTH)).astype(np.float32)
    table = generator.normal(size=(ITEMS, WIDTH)).astype(np.float32)
    targets = generator.integers(FIRST_VALUE, ITEMS, (BATCH, LENGTH)).astype(np.int32)
    weights = generator.random((BATCH, LENGTH)) < 0.7
    return hidden, table, targets, weights


def found(objective, arrays, seed=0):
    """The loss, differentiated by states and table; and what was drawn."""
    hidden, table, targets, weights = (jnp.asarray(each) for each in arrays)
    wanted = objective.lookups("item/embedding", targets, ITEMS, jax.random.key(seed))

    def loss(hidden, table):
        rows = {name: EmbeddedRows(table[each.ids], each.ids) for name, each in wanted.items()}
        each = Predictions(hidden, targets, table[targets], weights, table, ITEMS)
        return 3 * objective.loss(each, rows)

    drawn = np.asarray(wanted["negatives"].ids) if wanted else None
    return jax.value_and_grad(loss, (0, 1))(hidden, table), drawn


def plain_binary(arrays, drawn, beta):
    """The mean loss, and its derivatives by states and table, in f64."""
    hidden, table, targets, weights = (np.asarray(each) for each in arrays)
    hidden, table = hidden.astype(np.float64), table.astype(np.float64)
    of_hidden, of_table = np.zeros_like(hidden), np.zeros_like(table)
    total, count = 0.0, drawn.shape[-1]
    for row, position in np.argwhere(weights):
        state, target = hidden[row, position], targets[row, position]
        ids = {1: drawn, 2: drawn[row % len(drawn)], 3: None}[drawn.ndim]
        ids = drawn[row, position] if ids is None else ids
        others = [each for each in ids if each != target]
        share = 1 / (1 + count)
        yes = 1 / (1 + np.exp(-state @ table[target]))
        total -= share * np.log(yes**beta)
        slopes = [(target, -share * beta * (1 - yes))]
        for other in others:
            no = 1 / (1 + np.exp(-state @ table[other]))
            total -= share * count / len(others) * np.log(1 - no)
            slopes.append((other, share * count / len(others) * no))
        for each, slope in slopes:
            of_hidden[row, position] += slope * table[each]
            of_table[each] += slope * state
    return [each / weights.sum() for each in (total, of_hidden, of_table)]


@pytest.mark.parametrize("drawn_for", ["position", "sequence", "batch"])
@pytest.mark.parametrize("examples", [1, 2, 6])
def test_gbce_and_its_gradients_for_any_chunk(arrays, drawn_for, examples, monkeypatch):
    objective = GBce(negatives=9, t=0.6, drawn_for=drawn_for)
    elements = examples * LENGTH * objective.negatives * 4
    monkeypatch.setitem(chunks.CHUNK_ELEMENTS, jax.default_backend(), elements)
    ours, drawn = found(objective, arrays)
    share = 9 / 19  # of the catalogue of 20, without the target
    beta = share * (0.6 * (1 - 1 / share) + 1 / share)
    plain = plain_binary(arrays, drawn, beta)
    for mine, theirs in zip(jax.tree.leaves(ours), plain, strict=True):
        np.testing.assert_allclose(mine, 3 * theirs, atol=2e-6)


@pytest.mark.parametrize("drawn_for", ["position", "sequence", "batch"])
def test_drawn_items_are_uniform_over_the_catalogue(drawn_for):
    objective = Bce(negatives=700, drawn_for=drawn_for)
    shape = {"position": (BATCH, LENGTH, 700), "sequence": (BATCH, 700), "batch": (700,)}
    targets = jnp.full((BATCH, LENGTH), 5)
    lookup = objective.lookups("table", targets, ITEMS, jax.random.key(0))["negatives"]
    assert lookup.ids.shape == shape[drawn_for]
    assert lookup.shared == (drawn_for == "batch")
    counts = np.bincount(np.asarray(lookup.ids).ravel(), minlength=ITEMS)
    assert (counts[:FIRST_VALUE] == 0).all()
    assert len(counts) == ITEMS
    expected = lookup.ids.size / (ITEMS - FIRST_VALUE)
    assert (np.abs(counts[FIRST_VALUE:] - expected) < 5 * np.sqrt(expected)).all()


def test_bce_is_gbce_without_calibration_and_full_calibration_counts_the_share(arrays):
    plain, drawn = found(Bce(negatives=3), arrays)
    none, same = found(GBce(negatives=3, t=0.0), arrays)
    np.testing.assert_array_equal(drawn, same)
    np.testing.assert_allclose(plain[0], none[0], rtol=1e-6)
    np.testing.assert_allclose(plain[0], 3 * plain_binary(arrays, drawn, 1.0)[0], rtol=1e-6)
    assert GBce(negatives=3, t=1.0).beta(ITEMS) == pytest.approx(3 / 19)


def test_scores_of_any_size_have_a_finite_loss_and_slope(arrays):
    hidden, table, targets, weights = arrays
    (loss, gradients), _ = found(GBce(negatives=3), (hidden * 1e6, table, targets, weights))
    assert np.isfinite(loss)
    assert all(np.isfinite(each).all() for each in gradients)
    np.testing.assert_allclose(binary.softplus(jnp.array([-1e4, 0.0, 1e4])), [0, np.log(2), 1e4])


def test_a_softmax_over_all_that_is_drawn_is_the_full_one(arrays):
    """Where each other item is drawn equally often, the estimate is exact."""
    (full, _), _ = found(FullSoftmax(), arrays)
    hidden, table, targets, weights = (jnp.asarray(each) for each in arrays)
    ids = jnp.arange(FIRST_VALUE, ITEMS)
    each = Predictions(hidden, targets, table[targets], weights, table, ITEMS)
    every = SampledSoftmax(len(ids)).loss(each, {"negatives": EmbeddedRows(table[ids], ids)})
    np.testing.assert_allclose(3 * every, full, rtol=1e-5)


@pytest.mark.parametrize("kind", [SampledSoftmax, Bce, GBce])
def test_owners_with_the_same_items_make_no_difference(arrays, kind):
    """For the batch, for each sequence or for each position: equal draws, equal losses."""
    hidden, table, targets, weights = (jnp.asarray(each) for each in arrays)
    each = Predictions(hidden, targets, table[targets], weights, table, ITEMS)
    ids = jnp.arange(FIRST_VALUE, FIRST_VALUE + 3)
    found = []
    for owner, shape in (
        ("batch", ()),
        ("sequence", targets.shape[:1]),
        ("position", targets.shape),
    ):
        drawn = jnp.broadcast_to(ids, (*shape, 3))
        rows = {"negatives": EmbeddedRows(table[drawn], drawn)}
        found.append(kind(3, drawn_for=owner).loss(each, rows))
    np.testing.assert_allclose(found, found[0], rtol=1e-6)


@pytest.mark.parametrize("kind", [SampledSoftmax, Bce, GBce])
def test_what_is_drawn_has_its_owners(kind):
    targets = jnp.zeros((2, 5), jnp.int32)
    for owner, shape in (("batch", (7,)), ("sequence", (2, 7)), ("position", (2, 5, 7))):
        (lookup,) = (
            kind(7, drawn_for=owner).lookups("t", targets, ITEMS, jax.random.key(0)).values()
        )
        assert lookup.ids.shape == shape
        assert lookup.shared == (owner == "batch")


def test_impossible_numbers_name_their_field():
    for kind in (SampledSoftmax, Bce, GBce):
        with pytest.raises(ConfigError, match=r"objective\.negatives is 0"):
            kind(negatives=0)
    with pytest.raises(ConfigError, match=r"objective\.t is 1\.5"):
        GBce(t=1.5)
