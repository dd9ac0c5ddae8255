"""Models of labels, loaded: raw columns of rows → answers, by JAX from a run or by TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from etils import epath

from podway.export.layout import GOLDEN
from podway.launch.loaded.rows import MISSING_TIME, Input

DTYPES = {"text": "string", "pixels": "uint8", "number": "float32", "time": "int64"}
"""Of raw values, by kind."""
_BATCH = 4096
_MICRO = 1_000_000


class Predicting(Protocol):
    """A model of labels that can be asked."""

    @property
    def inputs(self) -> Mapping[str, Input]:
        """The raw columns that it reads."""
        ...

    def predict(self, raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The answer to each label: f32 [rows], or [rows, classes]; `raw` is by input."""
        ...


class TrainedLabels:
    """A run's model: features by the transforms that made its dataset, answers by JAX.

    Args:
      experiment: of the run.
      parameters: of the selected checkpoint, by path.
      dataset: that it was trained on.
    """

    def __init__(self, experiment: Any, parameters: dict[str, np.ndarray], dataset: Any):
        import jax

        from podway.export.lowering import inputs, labels

        self._reading = labels.resolve_reading(experiment, dataset)
        self._labels = tuple(labels.labels(experiment.model))
        columns = tuple(self._reading.columns)
        self._answer = jax.jit(labels.function(experiment.model, dataset.schema, columns))
        self._parameters = jax.device_put(parameters)
        self._names = inputs.names(self._reading.fitted)
        sizes = inputs.sizes(self._reading.fitted)
        separators = inputs.separators(self._reading.fitted)
        self.inputs = {
            name: Input(DTYPES[kind], separators.get(name), sizes.get(name, 0))
            for name, kind in inputs.kinds(self._reading.fitted).items()
        }

    def predict(self, raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See Predicting."""
        import jax

        from podway.export.lowering import labels

        values = {
            one.transform.name: self._feature(one, raw[self._names[one.transform.name]])
            for one in self._reading.fitted
        }
        columns = labels.look_up(self._reading, values)
        rows = len(next(iter(raw.values())))
        size, parts = min(1 << (max(rows, 1) - 1).bit_length(), _BATCH), []
        for start in range(0, max(rows, 1), size):
            part = [column[start : start + size] for column in columns.values()]
            missing = size - len(part[0])
            padded = [np.pad(x, ((0, missing), *[(0, 0)] * (x.ndim - 1))) for x in part]
            parts.append(jax.device_get(self._answer(self._parameters, *padded)))
        found = [np.concatenate(part)[:rows] for part in zip(*parts, strict=True)]
        return dict(zip(self._labels, found, strict=True))

    def _feature(self, fitted: Any, values: np.ndarray) -> np.ndarray:
        import pyarrow as pa

        from podway.beam.features import fit
        from podway.framework.config.features import kind
        from podway.framework.input.columns import Ragged, from_arrow

        match kind(fitted.transform):
            case "pixels":
                return values
            case "text":
                array = pa.array([value or None for value in values], pa.string())
            case "time":
                missing = values == MISSING_TIME
                array = pa.array(np.where(missing, 0, values) * _MICRO, pa.int64(), mask=missing)
            case _:
                array = pa.array(values, pa.float32())
        name, length = fitted.transform.name, self._reading.lengths[fitted.transform.name]
        vocabulary = self._reading.vocabularies.get(fitted.vocabulary or "")
        found = from_arrow(name, [fit.apply(fitted, vocabulary, array)])
        return found.first(length)[:] if isinstance(found, Ragged) else found


class PublishedLabels:
    """A published model, answered by TensorFlow as servers run it.

    Args:
      directory: of the version.
      details: of its manifest.
    """

    def __init__(self, directory: epath.Path, details: dict[str, Any]):
        from podway.launch.loaded import published

        self._directory, self._labels = directory, details["labels"]
        self._signatures = published.load(directory, self)
        golden = json.loads((directory / GOLDEN).read_text())
        self.inputs = {
            name: Input(
                kind,
                golden["separators"].get(name),
                len(golden["raw"][name][0]) if kind == "uint8" else 0,
            )
            for name, kind in details["inputs"].items()
        }

    def predict(self, raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See Predicting."""
        from podway.export.verification import sessions

        sent = {
            name: np.array([value.encode() for value in values], object)
            if self.inputs[name].kind == "string"
            else values
            for name, values in raw.items()
        }
        found = sessions.run(self._signatures["serving_default"], sent, str(self._directory))
        return {label: found[label] for label in self._labels}
