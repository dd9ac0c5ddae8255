"""A committed dataset, opened for reading."""

import dataclasses
from collections.abc import Iterable, Sequence

import grain
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from podway.framework import artifact
from podway.framework.input import columns
from podway.framework.schema.schema import (
    SPLITS,
    Schema,
    SchemaError,
    Vocabulary,
    values_of,
)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A committed dataset, opened for reading."""

    directory: epath.Path
    manifest: artifact.Manifest
    schema: Schema

    @classmethod
    def open(cls, directory: epath.PathLike, *, examples: bool = True) -> "Dataset":
        """Checks the manifest and all hashes. Raises artifact.ArtifactError.

        What only an extension of the dataset would read is left unchecked; so are, for who reads
        none, the `examples`.
        """
        directory = epath.Path(directory)
        shards = () if examples else tuple(f"{split}/" for split in SPLITS)
        manifest = artifact.read(directory, "dataset", unread=("events/", "values/", *shards))
        return cls(directory, manifest, Schema.read(directory / "schema.json"))

    def vocabulary(self, feature: str) -> Vocabulary:
        """The vocabulary of a feature."""
        return Vocabulary.read(self.directory / "vocabulary" / f"{feature}.jsonl")

    def head(self, feature: str, rows: int) -> Vocabulary:
        """The first rows of a vocabulary, the most frequent values."""
        return Vocabulary.read(self.directory / "vocabulary" / f"{feature}.jsonl", rows=rows)

    def values(self, feature: str, ids: Iterable[int]) -> dict[int, str]:
        """The values of some ids of a vocabulary; {} where the dataset has none of that name."""
        path = self.directory / "vocabulary" / f"{feature}.jsonl"
        return values_of(path, ids) if path.exists() else {}

    def examples(self, split: str) -> int:
        """Number of examples in a split."""
        return self.manifest.details["splits"][split]["examples"]

    def blocks(self, split: str) -> "Blocks":
        """The columnar blocks of a split."""
        return Blocks(self, split)

    def table(self, name: str) -> columns.Columns:
        """The attributes of users or items: row = id in the vocabulary `name`.

        Raises SchemaError where the dataset has no such table.
        """
        path = self.directory / "features" / f"{name}.arrow"
        if not path.exists():
            raise SchemaError(f"{self.directory} has no table of {name}s: add one to data.tables")
        with path.open("rb") as file:
            table = pa.ipc.open_file(file).read_all()
        return _columns(table.to_batches(), table.column_names)

    def attributes(self, name: str) -> dict[str, np.ndarray]:
        """What is kept as text of users or items, by column, object [ids]; {} where nothing is."""
        path = self.directory / "attributes" / f"{name}.parquet"
        if not path.exists():
            return {}
        with path.open("rb") as file:
            table = pq.read_table(file)
        return {
            column: table[column].to_numpy(zero_copy_only=False) for column in table.column_names
        }


class Blocks:
    """The columnar blocks of one split: `rows[i]` is the size of block i."""

    def __init__(self, dataset: Dataset, split: str):
        shards = [s for s in dataset.manifest.details["splits"][split]["shards"] if s["blocks"]]
        self.rows = np.array([rows for shard in shards for rows in shard["blocks"]], np.int64)
        paths = [str(artifact.resolve(dataset.directory, shard["path"])) for shard in shards]
        self._source = grain.sources.ArrayRecordDataSource(paths) if paths else ()

    def read(self, indices: np.ndarray, names: Sequence[str] | None = None) -> columns.Columns:
        """Blocks, concatenated, as NumPy columns: all of them, or those in `names`.

        Raises SchemaError for a name that the shards don't have.
        """
        batches = [batch for i in indices for batch in pa.ipc.open_stream(self._source[int(i)])]
        return _columns(batches, batches[0].schema.names if names is None else names)


def _columns(batches: Sequence[pa.RecordBatch], names: Sequence[str]) -> columns.Columns:
    if missing := set(names) - set(batches[0].schema.names):
        raise SchemaError(
            f"the examples have no {', '.join(sorted(missing))}; they have"
            f" {', '.join(batches[0].schema.names)}"
        )
    places = {name: batches[0].schema.get_field_index(name) for name in names}
    return {
        name: columns.from_arrow(name, [batch.column(place) for batch in batches])
        for name, place in places.items()
    }
