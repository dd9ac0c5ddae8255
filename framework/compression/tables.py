"""Which parameters a step of quantisation is about.

Paths are those of the arrays. An array of a format that may itself be in one, such as a factor of a
table, goes by the table's path, too.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from podway.framework import config, task
from podway.framework.error import check
from podway.framework.formats.matrix import FORMATS, Table
from podway.framework.schema.schema import Schema

EMBEDDING = r"(.*/)?embedding"
"""Pattern of the paths of embedding tables."""
KERNEL = r"(.*/)?kernel"
"""Pattern of the paths of layers' weights."""


def chosen(parameters: Mapping[str, Any], patterns: Sequence[str], field: str) -> list[str]:
    """The paths of the tables that the patterns match. Raises ConfigError where one matches none.

    Args:
      parameters: arrays by path.
      patterns: of whole paths.
      field: that names the patterns.
    """
    tables = [path for path, each in parameters.items() if is_table(path, each)]
    found: dict[str, None] = {}
    for pattern in patterns:
        matching = [
            path for path in tables if any(re.fullmatch(pattern, name) for name in _names(path))
        ]
        check(
            bool(matching),
            f"{field}: no table's path matches {pattern!r}; there are"
            f" {', '.join(sorted(tables)) or 'none that is not in a format already'}",
        )
        found |= dict.fromkeys(matching)
    return list(found)


def usual(model: config.Model, schema: Schema, parameters: Mapping[str, Any]) -> list[str]:
    """The paths of the embedding tables, and of what the model reads as one."""
    kept = task.of_kind(model, task.ParametricModel).in_formats(schema)
    return [
        path
        for path, each in parameters.items()
        if is_table(path, each)
        and any(name in kept or re.fullmatch(EMBEDDING, name) for name in _names(path))
    ]


def kernels(parameters: Mapping[str, Any]) -> list[str]:
    """The paths of layers' weights, of any rank from two."""
    return [
        path
        for path, each in parameters.items()
        if re.fullmatch(KERNEL, path) and _is_plain(path, each) and each.ndim >= 2
    ]


def is_table(path: str, each: Any) -> bool:
    """Whether an array is a matrix of numbers that may be stored in a format."""
    return _is_plain(path, each) and each.ndim == 2 and not re.fullmatch(KERNEL, path)


def _names(path: str) -> list[str]:
    """The path itself, and that of the table that it is a part of."""
    parts = path.split("/")
    formats = [place for place, part in enumerate(parts) if part in FORMATS]
    return [path, "/".join(parts[: formats[0]])] if formats else [path]


def _is_plain(path: str, each: Any) -> bool:
    owner, _, field = path.rpartition("/")
    own = FORMATS.get(owner.rpartition("/")[2])
    if own is not None:
        types = {one.name: one.type for one in dataclasses.fields(own)}  # type: ignore[arg-type]
        if types.get(field) is not Table:
            return False
    return jnp.issubdtype(each.dtype, jnp.floating) and not task.is_constant(path)
