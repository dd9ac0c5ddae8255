"""Tables of items with fewer rows: one for all rare items."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
from etils import epath

from podway.framework import config, task
from podway.framework.compression import weights
from podway.framework.error import check
from podway.framework.formats import matrix, shared_rows
from podway.framework.input.dataset import Dataset
from podway.framework.input.interactions import train_counts
from podway.framework.runs import run
from podway.framework.schema.schema import FIRST_VALUE


@dataclasses.dataclass(frozen=True)
class RareItems(config.Compression):
    """Items with few events have one row of the item table together: at first, and as no training
    follows for good, the mean of theirs, each by its events.

    They are scored alike then; among equals the ranking prefers the smaller id, which is the more
    frequent item (in the vocabulary items follow by falling count).
    """

    stores: ClassVar[bool] = True

    min_events: int = 5
    """Items with fewer events of the train split share the row."""

    def __post_init__(self):
        check(self.min_events >= 1, f"compression.min_events is {self.min_events}; give 1 or more")

    def convert(
        self, experiment: config.Experiment, dataset: Dataset, before: epath.Path
    ) -> dict[str, Any]:
        """See config.Compression."""
        model = task.of_kind(experiment.model, task.ParametricModel)
        paths = {path for name, path in model.embeddings(dataset.schema).items() if name == "item"}
        check(
            bool(paths),
            f"compression: {type(experiment.model).__name__} has no table of items whose rare ones"
            " could share a row",
        )
        (path,), (_, _, parameters) = paths, run.load(before)
        check(
            path in parameters,
            f"compression: {path} is in a format of its own already: put RareItems before that",
        )
        weights.two_dimensions(path, parameters[path])
        counts = np.zeros(len(parameters[path]), np.int64)
        found = train_counts(dataset)
        counts[: len(found)] = found
        ids = np.arange(len(counts))
        # Rows of no item, padding and a mask's, stay what they are.
        rare = (ids >= FIRST_VALUE) & (ids < len(found)) & (counts < self.min_events)
        check(
            int(rare.sum()) > 1,
            f"compression.min_events is {self.min_events}, and {int(rare.sum())} items have fewer"
            " events: give a larger number",
        )
        print(f"compress: {int(rare.sum()):,} of {len(found):,} items share a row", flush=True)
        return matrix.spread(parameters | {path: shared_rows.share(parameters[path], rare, counts)})
