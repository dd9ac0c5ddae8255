"""Which parameters a step of quantisation is about."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from podway.framework import config, task
from podway.framework.error import check
from podway.framework.formats.matrix import Matrix
from podway.framework.schema.schema import Schema

EMBEDDING = r"(.*/)?embedding"
"""Pattern of the paths of embedding tables."""
KERNEL = r"(.*/)?kernel"
"""Pattern of the paths of layers' weights."""


def chosen(parameters: Mapping[str, Any], patterns: Sequence[str], field: str) -> list[str]:
    """The paths of the tables that the patterns match. Raises ConfigError where one matches none.

    Args:
      parameters: by path, arrays or a Matrix.
      patterns: of whole paths.
      field: that names the patterns.
    """
    tables = [path for path, each in parameters.items() if is_table(path, each)]
    found: dict[str, None] = {}
    for pattern in patterns:
        matching = [path for path in tables if re.fullmatch(pattern, path)]
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
        if is_table(path, each) and (path in kept or re.fullmatch(EMBEDDING, path))
    ]


def kernels(parameters: Mapping[str, Any]) -> list[str]:
    """The paths of layers' weights, of any rank from two."""
    return [
        path
        for path, each in parameters.items()
        if re.fullmatch(KERNEL, path) and _is_plain(path, each) and each.ndim >= 2
    ]


def is_table(path: str, each: Any) -> bool:
    """Whether a parameter is a matrix of numbers, in no format yet."""
    return _is_plain(path, each) and each.ndim == 2 and not re.fullmatch(KERNEL, path)


def _is_plain(path: str, each: Any) -> bool:
    numbers = not isinstance(each, Matrix) and jnp.issubdtype(each.dtype, jnp.floating)
    return numbers and not task.is_constant(path)
