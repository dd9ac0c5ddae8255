"""A table on its way through the pipeline, in memory or in a scratch file.

A runner that keeps what it shuffles in memory is given references instead: inside of `scratch`,
whatever a runner would store of a large table is written to a file, and read when a worker asks for
it. So memory is bounded by what single workers hold, not by the input.
"""

import contextlib
import os
import pathlib
import pickle
import threading
from collections.abc import Iterator

import pyarrow as pa
from apache_beam import coders
from apache_beam.coders import typecoders

INLINE_BYTES = 1 << 16
"""Smaller tables travel themselves."""

_scratch: str | None = None
_lock = threading.Lock()


class Chunk:
    """An Arrow table that is loaded when it is asked for."""

    def __init__(self, table: pa.Table | None = None, encoded: bytes = b""):
        self._table, self._encoded = table, encoded

    def table(self) -> pa.Table:
        """The table. Not kept where it came from a file, so that only its user holds it."""
        if self._table is not None:
            return self._table
        kind, content = self._encoded[:1], self._encoded[1:]
        if kind == _TABLE:
            return pa.ipc.open_stream(content).read_all()
        path, offset, length = pickle.loads(content)
        with pa.memory_map(path) as file:
            return pa.ipc.open_stream(file.read_at(length, offset)).read_all()

    def encode(self, scratch: str | None) -> bytes:
        """The bytes that `Chunk(encoded=…)` takes."""
        if self._encoded:
            return self._encoded
        assert self._table is not None
        if scratch is not None and self._table.nbytes >= INLINE_BYTES:
            # Kept, as Beam encodes what several steps take once for each of them.
            self._encoded = _REFERENCE + pickle.dumps(_append(scratch, self._table))
            return self._encoded
        sink = pa.BufferOutputStream()
        # Files are mapped into memory, which compressed ones cannot be; nor is it worth it there.
        options = pa.ipc.IpcWriteOptions(compression=None if scratch else "lz4")
        with pa.ipc.new_stream(sink, self._table.schema, options=options) as stream:
            stream.write_table(self._table)
        return _TABLE + sink.getvalue().to_pybytes()


_TABLE, _REFERENCE = b"t", b"r"


def _append(scratch: str, table: pa.Table) -> tuple[str, int, int]:
    """Writes to the end of this process's file: (path, offset, length)."""
    path = os.path.join(scratch, f"{os.getpid()}.arrow")
    with _lock, open(path, "ab") as file:
        offset = -(-file.tell() // 64) * 64  # Arrow reads aligned buffers without a copy
        file.write(b"\0" * (offset - file.tell()))
        with pa.ipc.new_stream(pa.PythonFile(file, "w"), table.schema) as stream:
            stream.write_table(table)
        return path, offset, file.tell() - offset


@contextlib.contextmanager
def scratch(directory: pathlib.Path | str) -> Iterator[None]:
    """Pipelines that are made inside keep their tables in files of this local directory."""
    global _scratch
    before, _scratch = _scratch, str(directory)
    try:
        yield
    finally:
        _scratch = before


class ChunkCoder(coders.Coder):
    """`Chunk` ↔ bytes. Importing this module registers it."""

    def __init__(self):
        self._directory = _scratch

    def encode(self, value: Chunk) -> bytes:
        """The table itself, or where it is."""
        return value.encode(self._directory)

    def decode(self, encoded: bytes) -> Chunk:
        """The chunk, its table not loaded."""
        return Chunk(encoded=encoded)

    def is_deterministic(self) -> bool:
        """Never used as a key."""
        return False

    def to_type_hint(self) -> type:
        """The type that this coder is registered for."""
        return Chunk

    def estimate_size(self, value: Chunk) -> int:
        """A guess: without this, Beam would encode chunks to know."""
        return INLINE_BYTES

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


typecoders.registry.register_coder(Chunk, ChunkCoder)
