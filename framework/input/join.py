"""Attributes of users and items, joined to a batch by id.

A batch's column "item.genres" is the feature `genres` of the table of items, looked up at the ids
in the batch's column `item`. Any column whose vocabulary has a table can be looked up at, so
"target.genres" is the same feature of the target.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from podway.framework.input.columns import Arrays, Ragged
from podway.framework.input.dataset import Dataset
from podway.framework.schema.schema import Feature, Schema, SchemaError


@dataclasses.dataclass(frozen=True)
class AttributeTable:
    """One attribute, ready to be looked up.

    Attributes:
      key: the batch's column that holds the ids.
      values: [ids], [ids, width] or, for lists, [ids, length].
    """

    key: str
    values: np.ndarray

    def __call__(self, batch: Arrays) -> np.ndarray:
        """The attribute of each id in the batch: the key's shape, then the attribute's."""
        return self.values.take(batch[self.key], axis=0)


def is_joined(name: str) -> bool:
    """Whether a batch's column comes from a table rather than from the examples."""
    return "." in name


def split(schema: Schema, lengths: Mapping[str, int], name: str) -> tuple[Feature, Feature]:
    """The two halves of "item.genres": `item` of the examples, `genres` of the table of items.

    Raises SchemaError where the dataset has no such pair, or `lengths` lacks the ids.
    """
    key, attribute = (schema[part] for part in name.split(".", 1))
    if key.name not in lengths:
        raise SchemaError(f"{name} needs the column {key.name}, which the model does not read")
    if attribute.table != key.vocabulary:
        raise SchemaError(
            f"{name}: {attribute.name} is a feature of the {attribute.table} table, and the ids in"
            f" {key.name} are of the vocabulary {key.vocabulary}"
        )
    return key, attribute


def attribute_tables(dataset: Dataset, lengths: Mapping[str, int]) -> dict[str, AttributeTable]:
    """The joined ones of `lengths`; of longer lists the first values are taken.

    Raises SchemaError where the dataset cannot give one of them.
    """
    found, tables = {}, {}
    for name in filter(is_joined, lengths):
        key, attribute = split(dataset.schema, lengths, name)
        if attribute.table not in tables:
            tables[attribute.table] = dataset.table(attribute.table)
        column = tables[attribute.table][attribute.name]
        values = column.first(lengths[name])[:] if isinstance(column, Ragged) else column
        if len(values) < key.size:
            raise SchemaError(
                f"{dataset.directory}: the table of {attribute.table}s has {len(values)} rows;"
                f" {key.name} has {key.size} ids: build the dataset again"
            )
        found[name] = AttributeTable(key.name, values)
    return found
