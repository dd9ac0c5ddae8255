"""Several datasets as one training sequence, in exact proportions.

Example p of the mixture comes from one dataset's own sequence, and is the next one there. Which
dataset, and how many of its examples came before, follows from p alone: the first one gets
round(p · w₀/(w₀ + w₁ + …)) of the first p examples, the second one its share of those that are
left, and so on. So at any place each dataset's count is within a few examples of its weight, all
batches are mixed alike, and nothing but the position needs saving.
"""

import fractions
import math
from collections.abc import Mapping, Sequence

import numpy as np

from podway.framework.error import check
from podway.framework.input.columns import Arrays
from podway.framework.input.dataset import Dataset
from podway.framework.input.epochs import Epochs
from podway.framework.schema.fitted import FittedTransform, read_transforms
from podway.framework.schema.schema import FIRST_VALUE, OUT_OF_VOCABULARY, PADDING, Feature

_FINEST = 1_000_000
"""Shares are rounded to a fraction with at most this denominator, so that counts are exact."""


class Mixture:
    """The training sequences of several datasets as one.

    Args:
      components: the datasets' sequences, with the same columns.
      weights: of each, above 0; their sum may be anything.
    """

    def __init__(self, components: Sequence[Epochs], weights: Sequence[float]):
        self._components, self._shares = tuple(components), shares(weights)

    def read(self, start: int, stop: int) -> Arrays:
        """Examples `start` to `stop` (exclusive), as Epochs.read."""
        position = np.arange(start, stop)
        where = np.arange(stop - start)
        mixed: Arrays = {}
        for component, share in zip(self._components, self._shares, strict=True):
            before = _count(position, share)
            taken = _count(position + 1, share) > before
            if taken.any():
                first = int(before[taken][0])
                rows = component.read(first, first + int(taken.sum()))
                for name, column in rows.items():
                    if name not in mixed:
                        mixed[name] = np.empty((stop - start, *column.shape[1:]), column.dtype)
                    mixed[name][where[taken]] = column
            position, where = (position - before)[~taken], where[~taken]
        return mixed


def shares(weights: Sequence[float]) -> list[fractions.Fraction]:
    """Each dataset's share of what those before it leave; the last one gets all of it.

    Raises ConfigError for a weight that is not above 0, or too small beside the others.
    """
    hint = f"the weights of a mixture are {list(weights)}; give numbers above 0"
    check(all(0 < weight < math.inf for weight in weights), hint)
    exact = [fractions.Fraction(weight) for weight in weights]
    found = [
        (weight / sum(exact[at:])).limit_denominator(_FINEST) for at, weight in enumerate(exact)
    ]
    check(all(0 < share < 1 for share in found[:-1]), f"{hint}, none a millionth of another")
    return found


def _count(position: np.ndarray, share: fractions.Fraction) -> np.ndarray:
    """How many of the first `position` examples a dataset with this share gets: rounded."""
    return (position * share.numerator + share.denominator // 2) // share.denominator


def translations(
    source: Dataset, target: Dataset, columns: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """For each of `columns` whose vocabulary differs: target's id by source's id.

    Ids are translated by their text; what target does not know becomes OUT_OF_VOCABULARY.

    Raises ConfigError where the two datasets cannot be mixed.
    """
    found: dict[str, np.ndarray] = {}
    for name in columns:
        theirs, ours = source.schema[name], target.schema[name]
        pair = f"{source.directory} cannot be mixed into {target.directory}: {name}"
        check(
            _kind(theirs) == _kind(ours),
            f"{pair} is {_kind(theirs)} there and {_kind(ours)} here; give both the same features",
        )
        if not ours.vocabulary:
            check(
                theirs.size == ours.size and _fitted(source, name) == _fitted(target, name),
                f"{pair} was fitted to other values there; use a transform that is not fitted",
            )
        elif _digests(source, ours.vocabulary) != _digests(target, ours.vocabulary):
            found[name] = _translate(source, target, ours.vocabulary)
            check(
                theirs.size == len(found[name]) and int(found[name].max()) >= FIRST_VALUE,
                f"{pair} has no value in common, or more than one out-of-vocabulary bucket",
            )
    return found


def _kind(feature: Feature) -> dict[str, object]:
    """What two datasets must agree on."""
    names = ("role", "dtype", "ragged", "vocabulary", "shape", "table")
    return {name: getattr(feature, name) for name in names}


def _fitted(dataset: Dataset, name: str) -> FittedTransform | None:
    path = dataset.directory / "transform.json"
    features = read_transforms(path) if path.exists() else ()
    return next((feature for feature in features if feature.transform.name == name), None)


def _digests(dataset: Dataset, vocabulary: str) -> list[str]:
    """Hashes of a vocabulary's files."""
    files = dataset.manifest.files
    return [file.sha256 for file in files if file.path.startswith(f"vocabulary/{vocabulary}.")]


def _translate(source: Dataset, target: Dataset, vocabulary: str) -> np.ndarray:
    """Target's id by source's id, i32."""
    theirs, ours = source.vocabulary(vocabulary), target.vocabulary(vocabulary)
    ids = np.array([ours.id(value) for value in theirs.values], np.int32)
    ids[:FIRST_VALUE] = PADDING, OUT_OF_VOCABULARY
    return ids
