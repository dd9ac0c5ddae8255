"""The fitted transforms of a dataset: definition plus what the train split said. Pure Python.

Stored as transform.json beside the schema. beam/features/fit.py executes them on Arrow columns,
export/graph/features.py in a TensorFlow graph.
"""

import dataclasses
import json
from typing import Literal

from etils import epath

from podway.framework import codec
from podway.framework.config.features import Transform
from podway.framework.error import ConfigError
from podway.framework.schema.schema import SchemaError

Table = Literal["events", "user", "item"]
"""Where the raw column stands: in the events, or in the side table of users or items."""


@dataclasses.dataclass(frozen=True)
class FittedTransform:
    """One feature's transform, ready to be executed."""

    transform: Transform
    """The definition."""
    table: Table = "events"
    """Where the raw column stands."""
    vocabulary: str | None = None
    """Name of its vocabulary in vocabulary/NAME.jsonl, if it has one."""
    size: int = 0
    """Number of ids, those of PADDING and of all out-of-vocabulary buckets included; 0: no ids."""
    mean: float = 0.0
    """Of the (log of the) train split's values, a float32; for the standard scales."""
    deviation: float = 1.0
    """Likewise, the standard deviation."""
    boundaries: tuple[float, ...] = ()
    """Rising float32 values; for Quantiles."""


def write_transforms(path: epath.PathLike, fitted: tuple[FittedTransform, ...]) -> None:
    """Writes transform.json."""
    rows = [codec.to_json(feature) for feature in fitted]
    epath.Path(path).write_text(json.dumps({"features": rows}, indent=1) + "\n")


def read_transforms(path: epath.PathLike) -> tuple[FittedTransform, ...]:
    """Reads what `write` wrote. Raises SchemaError."""
    try:
        rows = json.loads(epath.Path(path).read_text())["features"]
        return tuple(codec.from_json(FittedTransform, row) for row in rows)
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise SchemaError(f"{path} holds no transforms: {error}") from error
