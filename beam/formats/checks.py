"""What is wrong with raw values, or worth a word, as masks of rows."""

import numpy as np
import pyarrow as pa
import pyarrow.types as pt


class Notice(str):
    """A reason that rejects no row: of values that are converted, and counted."""

    __slots__ = ()


Checks = list[tuple[str, np.ndarray]]
"""(reason, mask of the rows that it rejects; of a Notice, that it is about)."""


def drop_passed(checks: Checks) -> Checks:
    """Those that some row fails."""
    return [(reason, mask) for reason, mask in checks if mask.any()]


def decode(values: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Bytes as text, and which of them are no UTF-8."""
    values = values.cast(pa.binary())
    try:
        return values.cast(pa.string()), np.zeros(len(values), bool)
    except pa.ArrowInvalid:
        raw = [b"" if value is None else value for value in values.to_pylist()]
        decoded = [value.decode("utf-8", "replace") for value in raw]
        bad = [text.encode() != value for text, value in zip(decoded, raw, strict=True)]
        return pa.array(decoded, pa.string()), np.array(bad, bool)


def to_mask(array: pa.Array) -> np.ndarray:
    """Truth values as NumPy has them."""
    return array.to_numpy(zero_copy_only=False)


def is_text(type: pa.DataType) -> bool:
    """Whether a column holds text."""
    return pt.is_string(type) or pt.is_large_string(type) or pt.is_string_view(type)


def is_bytes(type: pa.DataType) -> bool:
    """Whether a column holds bytes, which may be text."""
    return (
        pt.is_binary(type)
        or pt.is_large_binary(type)
        or pt.is_binary_view(type)
        or pt.is_fixed_size_binary(type)
    )
