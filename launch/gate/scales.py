"""Numbers that two datasets scaled by what each had: from the one's scale to the other's."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from podway.framework.config.features import Numeric
from podway.framework.input.dataset import Dataset
from podway.framework.schema.fitted import FittedTransform, read_transforms

_FITTED = ("standard", "log_standard")


@dataclasses.dataclass(frozen=True)
class Scale:
    """From one scale to the other; what stands for a missing number does so in both.

    Attributes:
      factor: of a number.
      shift: added to it then.
      missing: that is left as it is. A number that is exactly this is taken for missing, too.
    """

    factor: float
    shift: float
    missing: np.float32

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers on the other scale, f32."""
        other = numbers.astype(np.float64) * self.factor + self.shift
        return np.where(numbers == self.missing, numbers, other.astype(np.float32))


def between(source: Dataset, target: Dataset, names: Iterable[str]) -> dict[str, Scale]:
    """From source's scale to target's, of each of the columns that both scaled, by other means."""
    theirs, ours = _fitted(source), _fitted(target)
    found = {}
    for name in names:
        one, other = theirs.get(name), ours.get(name)
        if one is None or other is None or one.transform != other.transform or one == other:
            continue
        transform = one.transform
        if isinstance(transform, Numeric) and transform.scale in _FITTED:
            found[name] = Scale(
                one.deviation / other.deviation,
                (one.mean - other.mean) / other.deviation,
                np.float32(transform.missing),
            )
    return found


def _fitted(dataset: Dataset) -> dict[str, FittedTransform]:
    path = dataset.directory / "transform.json"
    features = read_transforms(path) if path.exists() else ()
    return {feature.transform.name: feature for feature in features}
