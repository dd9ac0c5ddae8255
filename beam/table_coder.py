"""Arrow tables as Beam elements: one batch of many rows, coded as an IPC stream with LZ4."""

import pyarrow as pa
from apache_beam import coders
from apache_beam.coders import typecoders


class TableCoder(coders.Coder):
    """`pa.Table` ↔ bytes. Importing this module registers it."""

    def encode(self, value: pa.Table) -> bytes:
        """An Arrow IPC stream."""
        sink = pa.BufferOutputStream()
        # IpcWriteOptions cannot be pickled, so the coder holds none.
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(sink, value.schema, options=options) as stream:
            stream.write_table(value)
        return sink.getvalue().to_pybytes()

    def decode(self, encoded: bytes) -> pa.Table:
        """The table that was encoded."""
        return pa.ipc.open_stream(encoded).read_all()

    def estimate_size(self, value: pa.Table) -> int:
        """Bytes in memory. Without this, Beam would encode a sample of the tables to know."""
        return value.nbytes

    def is_deterministic(self) -> bool:
        """Never used as a key."""
        return False

    def to_type_hint(self) -> type:
        """The type that this coder is registered for."""
        return pa.Table

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


typecoders.registry.register_coder(pa.Table, TableCoder)
