import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework.embedding import table
from podway.framework.embedding.optimizer import Adagrad, RowWiseAdagrad
from podway.framework.embedding.table import Embedding, Table
from podway.framework.error import ConfigError


@pytest.mark.parametrize(
    ("rows", "shape"),
    [
        (1, (1, 8, 4)),
        (31, (1, 32, 4)),
        (128, (8, 16, 4)),
        (3416, (128, 32, 4)),
        (1_000_000, (8192, 128, 4)),
        (1_000_000_000, (8192, 122_072, 4)),
    ],
)
def test_shape_depends_on_the_rows_alone(rows, shape):
    assert Table(rows, 4).shape == shape


def test_an_id_lies_where_its_place_says():
    each = Table(130, 3)  # 8 shards
    dense = np.arange(390, dtype=np.float32).reshape(130, 3)
    stored = table.from_dense(each, dense)
    # 13 = 0b1101: mod 8 it is 0b101, reversed the same; 11 = 0b1011: 0b011 → 0b110.
    np.testing.assert_array_equal(stored[0b101, 1], dense[13])
    np.testing.assert_array_equal(stored[0b110, 1], dense[11])
    shard, row = each.place(np.arange(130))
    np.testing.assert_array_equal(stored[shard, row], dense)
    np.testing.assert_array_equal(np.asarray(table.ids(each))[shard, row], np.arange(130))
    assert (np.asarray(table.ids(each)) < 130).sum() == 130


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_each_of_n_devices_holds_every_nth_id(devices):
    each = Table(1000, 3)
    owner = each.place(np.arange(1000))[0] // (each.shards // devices)
    np.testing.assert_array_equal(owner, table.bit_reverse(np.arange(1000) % devices, devices))


@pytest.mark.parametrize("rows", [1, 100, 1000, 5001])
def test_dense_and_back(rows, monkeypatch):
    monkeypatch.setattr(table, "BLOCK_BYTES", 10_000)  # several blocks
    each = Table(rows, 5)
    dense = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)
    stored = table.from_dense(each, dense)
    assert stored.shape == each.shape
    np.testing.assert_array_equal(table.to_dense(each, stored), dense)
    np.testing.assert_array_equal(table.to_dense(each, jnp.asarray(stored)), dense)
    np.testing.assert_array_equal(
        table.to_dense(each, jnp.asarray(stored)[:, :, 0].ravel()), dense[:, 0]
    )


def test_dense_of_another_size_is_an_error():
    with pytest.raises(ConfigError, match=r"embedding\.rows is 100, but there are 99 rows"):
        table.from_dense(Table(100, 2), np.zeros((99, 2)))


@pytest.mark.parametrize(
    ("before", "after"), [(1000, 1001), (1000, 1023), (1000, 1024), (1000, 9000), (5, 700), (9, 9)]
)
@pytest.mark.parametrize("jit", [False, True])
def test_growth_keeps_rows_and_slots(before, after, jit):
    """Within the padding, past it, and with more shards."""
    old, new = Table(before, 3), Table(after, 3)
    grow = jax.jit(table.grow, static_argnums=(0, 1)) if jit else table.grow
    for tail in ((3,), ()):
        dense = np.random.default_rng(0).normal(size=(before, *tail)).astype(np.float32)
        fresh = np.full(new.shape if tail else new.places, 7, np.float32)
        # What lies in places of no id must not become a new id's row.
        stored = jnp.asarray(table.from_dense(old, dense + 1)) - 1
        grown = grow(old, new, stored, jnp.asarray(fresh))
        assert grown.shape == fresh.shape
        found = table.to_dense(new, grown)
        np.testing.assert_allclose(found[:before], dense, atol=1e-6)
        np.testing.assert_array_equal(found[before:], 7)


def test_a_table_does_not_shrink():
    old, new = Table(1000, 3), Table(999, 3)
    with pytest.raises(ConfigError, match="a vocabulary can only grow"):
        table.grow(old, new, jnp.zeros(old.shape), jnp.zeros(new.shape))


def test_initial_rows_and_slots():
    each = Table(4000, 64, Embedding(RowWiseAdagrad(initial=0.25)))
    rows = table.to_dense(each, table.initialize(each, jax.random.key(0)))
    np.testing.assert_array_equal(rows[0], 0)
    assert abs(rows[1:].std() - 1 / 8) < 1e-3
    (slot,) = table.initialize_slots(each).values()
    assert slot.shape == (each.places,)
    assert (np.asarray(slot) == 0.25).all()
    wide = table.initialize_slots(Table(4000, 64, Embedding(Adagrad())))
    assert wide["accumulator"].shape == each.shape
