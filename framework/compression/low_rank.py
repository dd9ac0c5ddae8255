"""Tables with fewer numbers in each row: of lower rank."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from etils import epath

from podway.framework import config
from podway.framework.compression import weights
from podway.framework.error import check
from podway.framework.formats import low_rank, matrix
from podway.framework.input.dataset import Dataset
from podway.framework.runs import run


@dataclasses.dataclass(frozen=True)
class LowRank(config.Compression):
    """Matrices as products of two narrow ones, by their singular value decomposition."""

    stores: ClassVar[bool] = True

    rank: int = 16
    """Numbers of each row, below the matrix's width."""
    paths: tuple[str, ...] = (r".*embedding",)
    """Patterns of whole paths of the matrices."""

    def __post_init__(self):
        check(self.rank >= 1, f"compression.rank is {self.rank}; give 1 or more")
        weights.check_patterns(self.paths)

    def convert(
        self, experiment: config.Experiment, dataset: Dataset, before: epath.Path
    ) -> dict[str, Any]:
        """See config.Compression."""
        _, _, parameters = run.load(before)
        found: dict[str, Any] = dict(parameters)
        for path in weights.chosen(parameters, self.paths):
            rows, width = weights.two_dimensions(path, parameters[path])
            check(
                self.rank * (rows + width) < rows * width,
                f"compression.rank is {self.rank}, by which {path}, {rows} × {width}, would not"
                f" become smaller: give less than {rows * width / (rows + width):.0f}, or other"
                " paths",
            )
            found[path] = low_rank.decompose(parameters[path], self.rank)
            whole = np.linalg.norm(parameters[path])
            error = np.linalg.norm(np.asarray(found[path].dense()) - parameters[path])
            print(f"compress: {path} of rank {self.rank}, {error / whole:.1%} off", flush=True)
        return matrix.spread(found)
