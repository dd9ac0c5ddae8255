"""What a served model of rows is sent: the raw columns that its features are made of.

A raw column is an input of its name; where features read columns of one name as different things,
or the name is no ASCII identifier, each of these features has an input of its own name.
"""

from collections.abc import Sequence

from podway.framework.config.features import (
    Categorical,
    Gap,
    Hashed,
    Kind,
    Pixels,
    is_ragged,
    kind,
)
from podway.framework.schema.fitted import FittedTransform


def names(fitted: Sequence[FittedTransform]) -> dict[str, str]:
    """Feature → the name of its input."""
    readers: dict[str, set[tuple[str, bool, str]]] = {}
    for one in fitted:
        readers.setdefault(one.transform.source, set()).add(_reading(one))
    return {
        one.transform.name: one.transform.source
        if _is_identifier(one.transform.source) and len(readers[one.transform.source]) == 1
        else one.transform.name
        for one in fitted
    }


def kinds(fitted: Sequence[FittedTransform]) -> dict[str, Kind]:
    """Input → what it holds."""
    own = names(fitted)
    return {own[one.transform.name]: kind(one.transform) for one in fitted}


def sizes(fitted: Sequence[FittedTransform]) -> dict[str, int]:
    """Input → the size of a row, of those that are pixels."""
    own = names(fitted)
    made = [(own[one.transform.name], one.transform) for one in fitted]
    return {name: transform.size for name, transform in made if isinstance(transform, Pixels)}


def separators(fitted: Sequence[FittedTransform]) -> dict[str, str]:
    """Input → what divides the parts of its lists, of those that are lists."""
    own, found = names(fitted), dict[str, set[str]]()
    for one in fitted:
        if isinstance(one.transform, Categorical | Hashed) and is_ragged(one.transform):
            found.setdefault(own[one.transform.name], set()).add(one.transform.separator)
    # Two features may divide one column at two separators; its values are then not joined.
    return {name: each.pop() for name, each in found.items() if len(each) == 1}


def _reading(one: FittedTransform) -> tuple[str, bool, str]:
    return kind(one.transform), isinstance(one.transform, Gap), one.table


def _is_identifier(name: str) -> bool:
    return name.isascii() and name.isidentifier()
