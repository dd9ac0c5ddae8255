"""What describes a dataset: manifest, schema, statistics and vocabularies, without its shards."""

import dataclasses
import functools
from typing import Any

from etils import epath

from podway.beam.statistics import statistics
from podway.framework import artifact
from podway.framework.schema.schema import FIRST_VALUE, Schema, Vocabulary


@dataclasses.dataclass(frozen=True)
class Described:
    """A committed dataset.

    Attributes:
      directory: where it lies.
      examples: split → number of examples.
      schema: of its features.
      statistics: split → feature → statistics, as beam/statistics/statistics.py has them.
    """

    directory: epath.Path
    examples: dict[str, int]
    schema: Schema
    statistics: dict[str, dict[str, Any]]

    def features(self, split: str) -> dict[str, dict[str, Any]]:
        """Feature → statistics."""
        return self.statistics.get(split, {})

    @functools.cached_property
    def names(self) -> list[str]:
        """All features, in the schema's order."""
        return [feature.name for feature in self.schema.features]

    def counts(self, name: str) -> dict[str, int]:
        """Value → how often the train split has it, of a vocabulary. Raises SchemaError."""
        words = Vocabulary.read(self.directory / "vocabulary" / f"{name}.jsonl")
        return dict(zip(words.values[FIRST_VALUE:], words.counts[FIRST_VALUE:], strict=True))


def read(directory: epath.PathLike) -> Described:
    """Opens a dataset. Raises ArtifactError, SchemaError or DataError: it cannot be read."""
    directory = epath.Path(directory)
    manifest = artifact.read_manifest(directory, "dataset")
    return Described(
        directory=directory,
        examples={
            split: part["examples"] for split, part in manifest.details.get("splits", {}).items()
        },
        schema=Schema.read(directory / "schema.json"),
        statistics=statistics.read(directory / "statistics.json"),
    )
