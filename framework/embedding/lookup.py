"""What a training step reads of a table by id."""

import dataclasses
import functools
from typing import NamedTuple

import jax
from jaxtyping import Array, Float, Int


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["ids"], meta_fields=["path", "shared"]
)
@dataclasses.dataclass(frozen=True)
class Lookup:
    """Rows of a parameter that a training step reads, by id.

    Attributes:
      path: of the parameter, [rows, width].
      ids: i32, [batch, …]; [count] where `shared`. PADDING reads zeros of a sparse table, and is
        never trained there.
      shared: the ids are those of the whole batch, not of one example each, and drawn evenly.
    """

    path: str
    ids: Int[Array, "..."]
    shared: bool = False


class EmbeddedRows(NamedTuple):
    """What a Lookup found: values [*ids.shape, width], for ids."""

    values: Float[Array, "... width"]
    ids: Int[Array, "..."]
