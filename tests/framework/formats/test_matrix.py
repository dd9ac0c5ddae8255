import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework.error import ConfigError
from podway.framework.formats import float8, int4, int8, low_rank, matrix, shared_rows, steps, w8a8

ROWS, WIDTH = 37, 6
RARE = np.arange(ROWS) % 3 == 1
ROUNDED = {
    "int8": int8.quantize,
    "int8_kernel": int8.quantize_kernel,
    "w8a8": lambda kernel: w8a8.quantize(kernel, np.float32(2.5)),
    "int4": int4.quantize,
    "int4_odd": lambda table: int4.quantize(table[:, : WIDTH - 1]),
    "float8": float8.quantize,
}
"""How a table of WIDTH is rounded, by the name of the format."""
MADE = ROUNDED | {
    "low_rank": lambda table: low_rank.decompose(table, 3),
    "shared_rows": lambda table: shared_rows.share(table, RARE, np.arange(ROWS)),
}
"""Likewise of all formats."""
KERNELS = ("int8_kernel", "w8a8")
"""Those with a scale for each column."""
GROUPED = {"int4, in groups": lambda table: int4.quantize(table, group=2)}


@pytest.fixture
def table() -> np.ndarray:
    found = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    found[3] = 0
    return found


def test_each_format_is_held_to_the_contract():
    assert MADE.keys() == matrix.FORMATS.keys(), "a new format: say above how it is made"


def test_int8_rows_by_hand():
    stored = int8.quantize(np.array([[1.0, -2.0, 0.0], [0, 0, 0], [127, 63.5, -1]], np.float32))
    assert stored.values.tolist() == [[64, -127, 0], [0, 0, 0], [127, 64, -1]]
    assert stored.scale.tolist() == [float(jnp.bfloat16(2 / 127)), 0, 1]


def test_an_int8_kernel_has_a_scale_for_each_output_of_each_layer():
    kernel = np.array([[[1.0, 0.0], [-127, 0.5]], [[0, 254], [0, 2]]], np.float32)
    stored = int8.quantize_kernel(kernel)
    assert stored.scale.tolist() == [[[1.0, float(jnp.bfloat16(0.5 / 127))]], [[0.0, 2.0]]]
    assert stored.values.tolist() == [[[1, 0], [-127, 127]], [[0, 127], [0, 1]]]
    one = jax.tree.map(lambda array: array[1], stored)
    np.testing.assert_array_equal(one.dense(), stored.dense()[1])


def test_4_bits_by_hand():
    stored = int4.quantize(np.array([[7.0, -7, 3.4, 1], [0, 0, 0, 0]], np.float32))
    assert stored.scale.tolist() == [[1.0], [0.0]]
    # The first half of a row lies in the lower four bits, with 8 added: 15 and 1, then 11 and 9.
    assert stored.values.tolist() == [[15 | 11 << 4, 1 | 9 << 4], [8 | 8 << 4, 8 | 8 << 4]]
    np.testing.assert_array_equal(stored.dense(), [[7, -7, 3, 1], [0, 0, 0, 0]])


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_what_is_packed_is_unpacked_exactly(width):
    values = np.random.default_rng(width).integers(-8, 8, (11, width)).astype(np.int8)
    packed = int4.pack(values)
    assert packed.dtype == jnp.uint8
    assert packed.shape == (11, -(-width // 2))
    np.testing.assert_array_equal(int4.unpack(packed, width), values)


def test_groups_have_scales_of_their_own_and_divide_the_width(table):
    table[:, 0] *= 100
    whole, grouped = int4.quantize(table), int4.quantize(table, group=2)
    assert grouped.scale.shape == (ROWS, 3)
    far = [np.abs(np.asarray(each.dense()) - table)[:, 2:].mean() for each in (whole, grouped)]
    assert far[1] < far[0] / 3
    with pytest.raises(ConfigError, match=r"compression.group is 4, .* a table's width of 6"):
        int4.quantize(table, group=4)


@pytest.mark.parametrize("name", [*ROUNDED, *GROUPED])
def test_what_is_read_is_near_and_stored_again_the_very_same(name, table):
    """By which a model that is trained with rounded numbers is served with these."""
    make = (MADE | GROUPED)[name]
    table *= np.random.default_rng(2).lognormal(0, 4, (ROWS, 1)).astype(np.float32)
    stored = make(table)
    widened = np.asarray(stored.dense())
    if name == "float8":
        near = np.abs(table) / 16 + np.asarray(stored.scale, np.float32)[:, None] * 2**-9
    else:
        scale = np.abs(widened[:, :2]).max() if "groups" in name else None
        full = 127 if name in ("int8", *KERNELS) else 7
        over = 0 if name in KERNELS else 1
        largest = np.abs(table).max(axis=over, keepdims=True)
        near = largest / full * 0.502 if scale is None else np.abs(table).max(1, keepdims=True) / 13
    assert (np.abs(widened - table[:, : widened.shape[1]]) <= near + 1e-30).all()
    again = make(widened if name != "int4_odd" else np.pad(widened, ((0, 0), (0, 1))))
    for field in dataclasses.fields(stored):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(stored, field.name))
    np.testing.assert_array_equal(again.dense(), widened)


@pytest.mark.parametrize("name", list(ROUNDED))
def test_straight_through_the_value_is_what_is_read_and_the_gradient_that_of_the_number(
    name, table
):
    make = MADE[name]
    x = jnp.asarray(table[:, :5] if name == "int4_odd" else table)
    one = (lambda x: int4.quantize(x)) if name == "int4_odd" else make

    def loss(x):
        return (steps.straight_through(one, x) ** 2).sum()

    np.testing.assert_array_equal(
        jax.jit(lambda x: steps.straight_through(one, x))(x), one(x).dense()
    )
    np.testing.assert_allclose(jax.grad(loss)(x), 2 * one(x).dense(), rtol=1e-6)


@pytest.mark.parametrize("name", list(ROUNDED))
def test_what_is_not_a_number_or_too_small_shows_or_is_zero(name, table):
    table[1, 2], table[5] = np.nan, 1e-39
    stored = MADE[name](table)
    assert not np.isfinite(np.asarray(stored.scale, np.float32)).all()
    table[1, 2] = 0
    assert np.isfinite(np.asarray(MADE[name](table).dense())).all()


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


def test_a_format_may_be_in_another_one(table):
    narrow = low_rank.decompose(table, 3)
    left = int8.quantize(np.asarray(narrow.left))
    rows = shared_rows.share(table, RARE, np.arange(ROWS))
    inner = low_rank.LowRank(left, narrow.right)
    both = {"a": inner, "b": dataclasses.replace(rows, table=int8.quantize(rows.table)), "c": table}
    flat = matrix.spread(both)
    assert {path for path in flat if path.startswith("a")} == {
        "a/low_rank/left/int8/scale",
        "a/low_rank/left/int8/values",
        "a/low_rank/right",
    }
    again = matrix.collect(flat)
    for name in ("a", "b"):
        np.testing.assert_array_equal(matrix.dense(again[name]), matrix.dense(both[name]))
    x = np.ones((2, WIDTH), np.float32)
    expected = x @ np.asarray(inner.dense()).T
    np.testing.assert_allclose(matrix.product(x, again["a"]), expected, atol=1e-5)


@pytest.mark.parametrize("name", [*MADE, *GROUPED])
@pytest.mark.parametrize("block", [5, 37, 64])
def test_all_that_is_computed_with_a_matrix_is_that_of_the_dense_one(
    name, block, table, monkeypatch
):
    monkeypatch.setattr(matrix, "BLOCK", block)
    stored = jax.device_get((MADE | GROUPED)[name](table))
    (again,) = matrix.collect(matrix.spread({"table": stored})).values()
    assert type(again) is type(stored)
    whole, generator = np.asarray(stored.dense()), np.random.default_rng(1)
    assert stored.shape == whole.shape
    assert stored.ndim == 2
    x = generator.normal(size=(2, 3, whole.shape[1])).astype(np.float32)
    weights = generator.normal(size=(3, ROWS)).astype(np.float32)
    ids = generator.integers(0, ROWS, (4, 2))
    for one in (stored, jnp.asarray(whole)):
        np.testing.assert_allclose(jax.jit(matrix.product)(x, one), x @ whole.T, atol=1e-5)
        np.testing.assert_allclose(jax.jit(matrix.rows)(one, ids), whole[ids], atol=1e-6)
        np.testing.assert_allclose(jax.jit(matrix.mix)(weights, one), weights @ whole, atol=1e-5)
        part = jax.jit(matrix.part, static_argnums=2)(one, 7, 9)
        np.testing.assert_allclose(matrix.dense(part), whole[7:16], atol=1e-6)
