"""What the answers of a recommender look like, counted as they leave: no labels are needed for it.

A list that has no item, one that is shorter than it could be, a score that is not a number, and how
the best scores are distributed. Signatures without items and scores are passed over.
"""

import math
from collections.abc import Sequence

import numpy as np

from podway.export.server import metrics
from podway.export.server.metrics import Metrics
from podway.export.server.runtime.servable import Signature

ITEM, SCORE = "item", "score"
LOWEST = float(np.finfo(np.float32).min)
"""The score of a place in a list for which there is no item."""


def count(
    counted: Metrics, model: str, version: int, signature: Signature, outputs: Sequence[np.ndarray]
) -> None:
    """Counts the rows of an answer."""
    if not {ITEM, SCORE} <= signature.outputs.keys():
        return
    scores = outputs[list(signature.outputs).index(SCORE)]
    if scores.ndim != 2 or not scores.size or scores.dtype.kind != "f":
        return
    labels = (model, str(version))
    invalid = empty = short = 0
    best = []
    # Few calls of NumPy, each of which costs more than a row does here.
    columns = scores.min(axis=1), scores[:, 0], scores[:, -1]
    for least, first, last in zip(*(column.tolist() for column in columns), strict=True):
        none = first <= LOWEST
        wrong = math.isnan(least)  # as the least of a row with a NaN is
        invalid += wrong
        empty += none
        short += last <= LOWEST and not none
        if not wrong and not none:
            best.append(first)
    counted.count(metrics.RECOMMENDED, *labels, by=len(scores))
    for kind, found in (
        (metrics.INVALID, invalid),
        (metrics.EMPTY, empty),
        (metrics.SHORT, short),
    ):
        counted.count(kind, *labels, by=found)
    counted.observe_all(metrics.BEST_SCORE, best, *labels)
