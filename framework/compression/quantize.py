"""Quantisation after training: parameters in formats of fewer bytes (framework/formats/)."""

import dataclasses
import re
from typing import Any, ClassVar

import numpy as np
from etils import epath

from podway.framework import config
from podway.framework.error import check
from podway.framework.formats import int8, matrix
from podway.framework.input.batches import Dataset
from podway.framework.runs import run


@dataclasses.dataclass(frozen=True)
class Int8(config.Compression):
    """Matrices as rows of 8-bit integers with a scale each."""

    stores: ClassVar[bool] = True

    paths: tuple[str, ...] = (r".*embedding",)
    """Patterns of whole paths of the matrices to store so."""

    def convert(
        self, experiment: config.Experiment, dataset: Dataset, before: epath.Path
    ) -> dict[str, Any]:
        """See config.Compression."""
        _, _, parameters = run.load(before)
        chosen = self.chosen(parameters)
        found = {
            path: int8.quantize(array) if path in chosen else array
            for path, array in parameters.items()
        }
        return matrix.spread(found)

    def chosen(self, parameters: dict[str, np.ndarray]) -> list[str]:
        """The paths of the matrices. Raises ConfigError for a pattern that matches none."""
        found: list[str] = []
        for pattern in self.paths:
            matching = [
                path
                for path, array in parameters.items()
                if re.fullmatch(pattern, path) and array.ndim == 2
            ]
            check(
                bool(matching),
                f"compression.paths: no matrix's path matches {pattern!r}; there are"
                f" {', '.join(sorted(path for path, a in parameters.items() if a.ndim == 2))}",
            )
            found += matching
        return found
