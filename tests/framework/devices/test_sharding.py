import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from podway.framework.devices import sharding
from podway.framework.error import ConfigError
from podway.framework.models.decoder import Decoder
from podway.framework.models.mmoe import Mmoe

EIGHT = {"slice": 1, "data": 1, "fsdp": 4, "tensor": 2}


def test_general_rules_place_each_kind_of_parameter():
    place = {
        "item/embedding": (128, 16),
        "position/embedding": (50, 16),
        "blocks/0/qkv/kernel": (16, 48),
        "blocks/0/qkv/bias": (48,),
        "blocks/0/down/kernel": (32, 16),
        "blocks/0/down/bias": (16,),
        "head/kernel": (16, 3),
        "norm/scale": (16,),
    }
    specs = {path: tuple(sharding.spec(path, shape, EIGHT)) for path, shape in place.items()}
    assert specs == {
        "item/embedding": ("tensor", "fsdp"),
        "position/embedding": (None, "fsdp"),
        "blocks/0/qkv/kernel": ("fsdp", "tensor"),
        "blocks/0/qkv/bias": ("tensor",),
        "blocks/0/down/kernel": ("tensor", "fsdp"),
        "blocks/0/down/bias": (None,),
        "head/kernel": ("fsdp", None),
        "norm/scale": (None,),
    }


def test_a_models_own_rules_come_first():
    own = Mmoe.sharding_rules
    table = sharding.spec("embeddings/item.brand/embedding", (128, 6), EIGHT, own)
    assert table == PartitionSpec(("fsdp", "tensor"), None)
    for path, shape in {"experts/layers/0/kernel": (3, 7, 5), "answer/kernel": (7, 1)}.items():
        assert sharding.spec(path, shape, EIGHT, own) == PartitionSpec()
    kernel = ("layers/query/kernel", (2, 4, 4, 16))
    placed = sharding.spec(*kernel, EIGHT, Decoder.sharding_rules)
    assert placed == PartitionSpec(None, "tensor", None, "fsdp")


@pytest.mark.parametrize(("path", "shape"), [("item/gate", (5,)), ("a/kernel", (3, 5, 7))])
def test_what_no_rule_names_is_whole_on_each_device_and_that_is_said(path, shape):
    assert sharding.spec(path, shape, EIGHT) == PartitionSpec()
    named = {"blocks/0/up/kernel": jax.ShapeDtypeStruct((16, 48), jnp.float32)}
    state = {"parameters": named | {path: jax.ShapeDtypeStruct(shape, jnp.float32)}}
    rows = {
        row.path: row for row in sharding.describe(state, sharding.specs(state, EIGHT, {}), EIGHT)
    }
    unnamed = rows[f"parameters.{path}"]
    assert (unnamed.split, unnamed.remark) == ("replicated", "no rule")
    assert unnamed.bytes == 4 * np.prod(shape)
    assert rows["parameters.blocks/0/up/kernel"].remark == ""


@pytest.mark.parametrize(
    ("path", "shape", "message"),
    [
        ("item/embedding", (128, 18), "mesh.fsdp = 4 does not divide 18"),
        ("item/embedding", (129, 16), "mesh.tensor = 2 does not divide 129"),
        ("a/gate", (4, 4, 4), "has not the dimensions of its rule"),
    ],
)
def test_a_rule_that_does_not_fit_is_an_error_that_shows_all_rules(path, shape, message):
    own = ((r"a/gate", ("fsdp",)),)
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        sharding.spec(path, shape, EIGHT, own)
    assert all(pattern in str(caught.value) for pattern, _ in (*own, *sharding.GENERAL))


def some_state():
    kernel = jax.ShapeDtypeStruct((16, 48), jnp.float32)
    return {
        "step": jax.ShapeDtypeStruct((), jnp.int32),
        "parameters": {"blocks/0/qkv/kernel": kernel},
        "optimizer": (
            {"count": jax.ShapeDtypeStruct((), jnp.int32)},
            {"blocks/0/qkv/kernel": kernel},
        ),
        "tables": {"item/embedding": jax.ShapeDtypeStruct((32, 8, 4), jnp.float32)},
        "slots": {"item/embedding": {"accumulator": jax.ShapeDtypeStruct((256,), jnp.float32)}},
    }


TABLES = {"item/embedding": PartitionSpec(tuple(EIGHT))}


def test_moments_lie_as_their_parameter_and_tables_where_their_plan_says():
    specs = sharding.specs(some_state(), EIGHT, TABLES)
    assert specs["optimizer"][1]["blocks/0/qkv/kernel"] == PartitionSpec("fsdp", "tensor")
    assert specs["step"] == PartitionSpec()
    assert specs["tables"]["item/embedding"] == PartitionSpec(tuple(EIGHT))
    assert specs["slots"]["item/embedding"]["accumulator"] == PartitionSpec(tuple(EIGHT))


def test_the_description_counts_what_lies_on_one_device():
    state = some_state()
    rows = list(sharding.describe(state, sharding.specs(state, EIGHT, TABLES), EIGHT))
    found = {row.path: (row.kind, row.split, row.bytes) for row in rows}
    kernel = ("float32[16, 48]", "fsdp, tensor", 16 * 48 * 4 // 8)
    assert found["parameters.blocks/0/qkv/kernel"] == kernel
    table = ("float32[32, 8, 4]", "slice·data·fsdp·tensor", 32 * 8 * 4 * 4 // 8)
    assert found["tables.item/embedding"] == table
    assert found["step"] == ("int32[]", "replicated", 4)
    total = sum(np.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert sum(row.bytes for row in rows) == (total - 8) / 8 + 8
