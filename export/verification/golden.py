"""The golden file: requests, and the answers that JAX gives to them, stored beside the model.

export/cases/ makes what it holds. What of it is asked of a SavedModel, and how the answers are
judged, is a Golden, one for each kind of model.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from etils import epath

from podway.export.layout import GOLDEN

TOLERANCE = 1e-5
"""How far an answer may lie from JAX's, absolutely and relatively."""
ROUNDING = "rounding"
"""In the file: how much farther, as the model itself rounds to integers while it answers."""

Columns = Mapping[str, np.ndarray]
"""What a signature takes, or what it answers, by name."""


@dataclasses.dataclass(frozen=True)
class Request:
    """Golden rows as one signature takes them.

    Attributes:
      signature: its name.
      inputs: its inputs.
      where: the case, for messages.
      difference: of its outputs from JAX's answers, the largest. Raises ExportError that begins
        with `where` at the first that is too far.
    """

    signature: str
    inputs: Columns
    where: str
    difference: Callable[[Columns], float]


class Golden(Protocol):
    """The golden file of a SavedModel, as its kind of models reads it."""

    @property
    def measure(self) -> str:
        """What the differences are of: "a score"."""
        ...

    def check_signatures(self) -> None:
        """Raises ExportError where the SavedModel lacks a signature that it should have."""
        ...

    def requests(self, case: Mapping[str, Any]) -> Iterable[Request]:
        """A case of the file's "cases" through every signature that takes it."""
        ...

    def further_requests(self) -> Iterable[Request]:
        """What is asked beside the cases."""
        ...


def tolerated(wanted: Any, rounding: float = 0.0) -> Any:
    """How far a number, or each of an array, may be missed."""
    return TOLERANCE * (1 + abs(wanted)) + rounding


def write(directory: epath.PathLike, content: Mapping[str, Any]) -> None:
    """Writes the file into the directory of a SavedModel."""
    path = epath.Path(directory) / GOLDEN
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")))


def read(directory: epath.PathLike) -> dict[str, Any]:
    """What the file of a SavedModel holds."""
    return json.loads((epath.Path(directory) / GOLDEN).read_text())
