"""Which columns of rows a model reads: ids to embed, and numbers."""

import dataclasses

from podway.framework.error import check
from podway.framework.models.parts.history import item_rows
from podway.framework.schema.schema import Feature, Schema


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Columns of rows; "item.brand" is the attribute `brand` of the row's item
    (framework/input/join.py).

    Attributes:
      ids: column → its feature of ids, one or a list, each to be embedded.
      numbers: column → its feature of numbers.
      keys: columns that are read as other columns are looked up by them, but are no inputs.
    """

    ids: dict[str, Feature]
    numbers: dict[str, Feature]
    keys: tuple[str, ...]

    @property
    def lengths(self) -> dict[str, int]:
        """The columns to read; lists are read whole."""
        features = self.ids | self.numbers
        lengths = {name: feature.max_length for name, feature in features.items()}
        return lengths | dict.fromkeys(self.keys, 1)

    @property
    def width(self) -> int:
        """How many numbers there are."""
        return sum(feature.shape[0] if feature.shape else 1 for feature in self.numbers.values())


def choose(schema: Schema, include: tuple[str, ...], without: tuple[str, ...]) -> Inputs:
    """The inputs of a model of rows.

    Args:
      schema: of the dataset.
      include: the columns; (): all that the schema has, but time and labels.
      without: columns to leave out of these.

    Raises ConfigError: the dataset's examples are no rows, or a column is not there or no input.
    """
    check(
        not any(f.role == "target" or f.ragged for f in schema.features if f.role != "feature"),
        "the model predicts labels of rows, and the dataset has sequences: set data.examples to"
        " RowExamples()",
    )
    known = _columns(schema)
    for field, names in (("features", include), ("without", without)):
        for name in names:
            check(
                name in known,
                f"model.{field} has {name!r}, which is no column to read: a label, a time, or"
                f" unknown; there are {', '.join(known)}",
            )
    names = [name for name in include or known if name not in without]
    check(bool(names), "model.without leaves no column to read")
    keys = {name.partition(".")[0] for name in names if "." in name}
    return Inputs(
        ids={name: known[name] for name in names if known[name].size},
        numbers={name: known[name] for name in names if not known[name].size},
        keys=tuple(sorted(keys - set(names))),
    )


def table_rows(feature: Feature) -> int:
    """Rows of a feature's embedding table."""
    return item_rows(feature.size)


def _columns(schema: Schema) -> dict[str, Feature]:
    """What can be an input, in the order of the schema, the tables' attributes at the end."""
    own = {
        feature.name: feature
        for feature in schema.features
        if feature.table == "events" and feature.role in ("user", "item", "feature")
    }
    keys = [feature for feature in own.values() if feature.role in ("user", "item")]
    return own | {
        f"{key.name}.{feature.name}": feature
        for key in keys
        for feature in schema.features
        if feature.table == key.vocabulary
    }
