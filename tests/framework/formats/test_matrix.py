import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework.formats import int8, matrix

ROWS, WIDTH = 37, 6


@pytest.fixture
def table() -> np.ndarray:
    found = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    found[3] = 0
    return found


def test_int8_rows_by_hand():
    stored = int8.quantize(np.array([[1.0, -2.0, 0.0], [0, 0, 0], [127, 63.5, -1]], np.float32))
    assert stored.values.tolist() == [[64, -127, 0], [0, 0, 0], [127, 64, -1]]
    np.testing.assert_array_equal(stored.scale, np.array([2 / 127, 0, 1], np.float32))


def test_int8_is_within_half_a_step_and_keeps_what_is_int8_already(table):
    stored = int8.quantize(table)
    widened = np.asarray(stored.dense())
    assert (np.abs(widened - table) <= np.asarray(stored.scale)[:, None] / 2 + 1e-7).all()
    np.testing.assert_array_equal(int8.quantize(widened).values, stored.values)


def test_a_matrix_is_spread_over_paths_and_collected_again(table):
    found = {"item/embedding": int8.quantize(table), "blocks/0/kernel": table}
    flat = matrix.spread(found)
    assert sorted(flat) == [
        "blocks/0/kernel",
        "item/embedding/int8/scale",
        "item/embedding/int8/values",
    ]
    again = matrix.collect(flat)
    assert again.keys() == found.keys()
    assert again["item/embedding"].shape == (ROWS, WIDTH)
    for field in dataclasses.fields(again["item/embedding"]):
        name = field.name
        assert getattr(again["item/embedding"], name) is flat[f"item/embedding/int8/{name}"]


@pytest.mark.parametrize("name", sorted(matrix.FORMATS))
@pytest.mark.parametrize("block", [5, 37, 64])
def test_all_that_is_computed_with_a_matrix_is_that_of_the_dense_one(
    name, block, table, monkeypatch
):
    assert name == "int8", "a new format: say here how it is made"
    monkeypatch.setattr(matrix, "BLOCK", block)
    stored = int8.quantize(table)
    whole, generator = np.asarray(stored.dense()), np.random.default_rng(1)
    x = generator.normal(size=(2, 3, WIDTH)).astype(np.float32)
    ids = generator.integers(0, ROWS, (4, 2))
    for one in (stored, jnp.asarray(whole)):
        np.testing.assert_allclose(jax.jit(matrix.product)(x, one), x @ whole.T, atol=1e-5)
        np.testing.assert_array_equal(jax.jit(matrix.rows)(one, ids), whole[ids])
        part = jax.jit(matrix.part, static_argnums=2)(one, 7, 9)
        np.testing.assert_array_equal(matrix.dense(part), whole[7:16])
