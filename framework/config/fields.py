"""What a field is to the version hash, where it is not simply a part of it."""

import dataclasses
from typing import Any

from podway.framework import codec


def neutral(default: Any) -> Any:
    """A field that does not change the result, so it is left out of the version hash."""
    return dataclasses.field(default=default, metadata={codec.NEUTRAL: True})


def later(default: Any) -> Any:
    """A field that was added when there were artefacts already, and at its default changes nothing.

    It is left out of the version hash where it has its default, so that those artefacts stay up to
    date. The default can never be changed: it stands for what was before the field.
    """
    return dataclasses.field(default=default, metadata={codec.LATER: True})
