"""Which of a model's matrices a step of compression is about."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from podway.framework.error import ConfigError, check


def chosen(parameters: Mapping[str, Any], patterns: Iterable[str]) -> list[str]:
    """The paths, sorted, that a pattern matches whole, of parameters of two dimensions or more.

    Raises ConfigError for a pattern that matches none.
    """
    matrices = sorted(path for path, array in parameters.items() if array.ndim >= 2)
    found: set[str] = set()
    for pattern in patterns:
        matching = [path for path in matrices if re.fullmatch(pattern, path)]
        check(
            bool(matching),
            f"compression.paths: no matrix's path matches {pattern!r}; there are"
            f" {', '.join(matrices)}",
        )
        found |= {*matching}
    return sorted(found)


def check_patterns(patterns: Iterable[str]) -> None:
    """Raises ConfigError for what is no pattern, and where there is none."""
    check(bool(tuple(patterns)), "compression.paths is empty; give patterns of parameters' paths")
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"compression.paths: {pattern!r} is no pattern: {error}") from error


def two_dimensions(path: str, array: Any) -> tuple[int, int]:
    """Rows and width of a matrix. Raises ConfigError where it has not two dimensions."""
    check(
        array.ndim == 2,
        f"compression.paths: {path} has {array.ndim} dimensions; name matrices of two",
    )
    return array.shape[0], array.shape[1]
