"""What the side table of items says of each item, as vectors: genres, words of a title, buckets.

An item without training events has nothing but its attributes. They are needed whenever items are
scored, so they are constants of the model (task.is_constant), not columns of a batch.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from podway.framework.error import check
from podway.framework.input import join
from podway.framework.input.dataset import Dataset
from podway.framework.input.interactions import train_histories, train_targets
from podway.framework.schema.schema import FIRST_VALUE, PADDING, Feature, Schema
from podway.framework.task import Constants

COUNTS, SHARES = "counts", "shares"
"""Constants: events of each item in the train split, i32 [rows]; and its share of the targets that
training draws, f32 [rows]."""


def described(schema: Schema, attributes: Sequence[str]) -> list[Feature]:
    """The features of these names. Raises ConfigError where one is no list of an item's ids."""
    features = [schema[name] for name in attributes]
    for feature in features:
        check(
            feature.table == "item"
            and feature.dtype == "int32"
            and feature.name not in (COUNTS, SHARES),
            f"model.attributes has {feature.name!r}, which is {feature.dtype} of {feature.table};"
            " give features of the items' side table that are ids: Categorical, Text, Hashed,"
            " Quantiles",
        )
    return features


class Content(nnx.Module):
    """For each attribute the mean of its values' embeddings; the sum of these, and nothing else."""

    def __init__(self, features: Sequence[Feature], width: int, rngs: nnx.Rngs):
        self.names = tuple(feature.name for feature in features)
        init = nnx.initializers.normal(width**-0.5)
        for feature in features:
            embed = nnx.Embed(feature.size, width, embedding_init=init, rngs=rngs)
            setattr(self, feature.name, embed)

    def __call__(
        self, constants: Constants, ids: Int[Array, "*ids"], dtype: jnp.dtype
    ) -> Float[Array, "*ids width"] | float:
        """Vectors of items; 0 without attributes."""
        total = 0.0
        for name in self.names:
            values = jnp.take(constants[name], ids, axis=0)
            there = (values != PADDING)[..., None].astype(dtype)
            vectors = jnp.take(getattr(self, name).embedding.get_value(), values, axis=0)
            total += (vectors * there).sum(-2) / jnp.maximum(there.sum(-2), 1)
        return total


def shapes(features: Sequence[Feature], rows: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Of the constants that `constants` gives, by name."""
    lists = {feature.name: (rows, feature.max_length) for feature in features}
    found = {name: jax.ShapeDtypeStruct(shape, jnp.int32) for name, shape in lists.items()}
    found[COUNTS] = jax.ShapeDtypeStruct((rows,), jnp.int32)
    found[SHARES] = jax.ShapeDtypeStruct((rows,), jnp.float32)
    return found


def constants(
    dataset: Dataset, features: Sequence[Feature], rows: int, targets: int
) -> dict[str, np.ndarray]:
    """What the dataset says of each item id: COUNTS, SHARES, and the ids of each attribute.

    Of attributes, values that no item with events has are left out: nothing is learnt of them.

    SHARES estimates how often an item is a target: each history gives `targets` of its events, or
    all if it has fewer, each event alike, but for those that are history only. (Of histories longer
    than a batch reads, the events at both ends are in fewer random crops; that is neglected.)

    Args:
      dataset: with a side table of items, where there are features.
      features: of it.
      rows: of item ids, those that no item has included.
      targets: drawn of each history.

    Raises SchemaError where the dataset has no such table.
    """
    size = dataset.schema["item"].size
    histories, may = train_histories(dataset), train_targets(dataset)
    owner = np.repeat(np.arange(len(histories.offsets) - 1), np.diff(histories.offsets))
    lengths = np.bincount(owner, may, minlength=len(histories.offsets) - 1)
    each = np.minimum(lengths, targets) / np.maximum(lengths, 1)
    known = histories.values >= FIRST_VALUE
    weights = np.where(known & may, each[owner], 0.0)
    counts = np.bincount(histories.values[known], minlength=size)
    share = np.bincount(histories.values, weights, minlength=size) / max(weights.sum(), 1e-9)
    found = {COUNTS: counts.astype(np.int32), SHARES: share.astype(np.float32)}
    lists = {f"item.{feature.name}": feature.max_length for feature in features}
    for name, table in join.attribute_tables(dataset, {"item": 1, **lists}).items():
        feature = dataset.schema[name.partition(".")[2]]
        values = table.values[:size].reshape(size, feature.max_length)
        learnt = np.zeros(feature.size, bool)
        learnt[values[counts > 0]] = True
        found[feature.name] = np.where(learnt[values], values, PADDING).astype(np.int32)
    return {
        name: np.pad(values, [(0, rows - size)] + [(0, 0)] * (values.ndim - 1))
        for name, values in found.items()
    }
