"""Fields that do not change the result."""

import dataclasses
from typing import Any

from podway.framework import codec


def neutral(default: Any) -> Any:
    """A field that does not change the result, so it is left out of the version hash."""
    return dataclasses.field(default=default, metadata={codec.NEUTRAL: True})
