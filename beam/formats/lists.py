"""Lines of "user item item …" → rows: an item each, in the order of the line."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from etils import epath

from podway.beam.error import DataError
from podway.beam.formats.rows import RawBatch, Rejected, Roles, locate
from podway.beam.formats.stream import Stream
from podway.framework.config import Lists

pc: Any = pyarrow.compute  # which makes its functions when it is imported

BLOCK_BYTES = 16 << 20
"""Bytes parsed at once: one batch of rows."""

COLUMNS = ("user", "item")


def read(file: str, format: Lists, roles: Roles, *, block: int | None = None) -> Iterator[RawBatch]:
    """The items of a file, one row each; a line that cannot be read is one rejected row.

    Args:
      file: name of the file.
      format: how it is written.
      roles: the columns that are read.
      block: bytes parsed at once; None: BLOCK_BYTES.

    Raises:
      DataError: a role of another column, or a file that cannot be unpacked.
    """
    roles, name, rows, lines = locate(roles, COLUMNS, file), epath.Path(file).name, 0, 0
    try:
        with Stream(file, format.encoding) as stream:
            for some in _blocks(stream, block or BLOCK_BYTES):
                batch = _rows(some, rows, lines, name, format, roles, stream.fraction())
                rows += len(batch.numbers) + len(batch.rejected)
                lines += len(some)
                if stream.encoding:
                    said = {f"read as {stream.encoding}": len(batch.numbers)}
                    batch = dataclasses.replace(batch, notices=said)
                yield batch
    except OSError as error:
        raise DataError(f"{file} cannot be read as lines of items: {error}") from error


def _blocks(stream: Stream, size: int) -> Iterator[list[bytes]]:
    """Some consecutive lines."""
    rest = b""
    while chunk := stream.read(size):
        whole, end, rest = (rest + chunk).rpartition(b"\n")
        if end:
            yield whole.split(b"\n")
    if rest:
        yield [rest]


def _rows(
    block: list[bytes],
    rows: int,
    lines: int,
    name: str,
    format: Lists,
    roles: Roles,
    fraction: float,
) -> RawBatch:
    """The rows of some lines; so many rows and lines came before them."""
    texts, bad = _decode([line.removesuffix(b"\r") for line in block])
    texts = texts if format.separator else pc.utf8_trim_whitespace(texts)
    filled = (pc.binary_length(texts).to_numpy() > 0) & ~bad
    users, items, counts = _split(texts.filter(pa.array(filled)), format)
    number = lines + 1 + np.flatnonzero(filled)
    if users is None:
        users = pa.array([f"{name}:{line}" for line in number.tolist()], pa.string())
    # What a line counts as: its items, or the one row that is rejected.
    sizes = np.zeros(len(block), np.int64)
    sizes[filled], sizes[bad] = np.maximum(counts, 1), 1
    before = rows + np.cumsum(sizes) - sizes
    line = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(line)) - np.repeat(np.cumsum(counts) - counts, counts)
    empty = np.flatnonzero(filled)[counts == 0]
    rejected = [
        Rejected(int(before[at]) + 1, reason, block[at].decode("utf-8", "backslashreplace"))
        for reason, mine in (("invalid UTF-8", np.flatnonzero(bad)), ("no items", empty))
        for at in mine.tolist()
    ]
    columns = {"user": pa.DictionaryArray.from_arrays(pa.array(line, pa.int32()), users)}
    columns["item"] = items
    return RawBatch(
        columns={role: columns[column] for role, column in roles.items()},
        numbers=before[filled][line] + within + 1,
        raw=functools.partial(_raw, users, items, number, line),
        rejected=sorted(rejected, key=lambda row: row.row),
        fraction=fraction,
    )


def _split(texts: pa.Array, format: Lists) -> tuple[pa.Array | None, pa.Array, np.ndarray]:
    """The users of lines, if these say them; all items; and how many items each line has."""
    users = None
    if format.user and format.after_user:
        users, texts = _head(pc.split_pattern(texts, format.after_user, max_splits=1))
        texts = pc.utf8_trim_whitespace(texts) if not format.separator else texts
    parts = pc.split_pattern(texts, format.separator) if format.separator else (
        pc.utf8_split_whitespace(texts)
    )  # fmt: skip
    counts = pc.list_value_length(parts).to_numpy().astype(np.int64)
    counts[pc.equal(texts, "").to_numpy(zero_copy_only=False)] = 0  # split, "" is one empty part
    lengths, values = pc.list_value_length(parts).to_numpy(), parts.flatten()
    first = np.cumsum(lengths) - lengths
    if format.user and not format.after_user:
        users, first, counts = values.take(pa.array(first)), first + 1, counts - 1
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return users, values.take(pa.array(np.repeat(first, counts) + within)), counts


def _head(halves: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The first part of each list of one or two, and the second one, or ""."""
    lengths, values = pc.list_value_length(halves).to_numpy(), halves.flatten()
    first = np.cumsum(lengths) - lengths
    second = pa.array(np.minimum(first + 1, len(values) - 1), mask=lengths < 2)
    return values.take(pa.array(first)), values.take(second).fill_null("")


def _decode(block: list[bytes]) -> tuple[pa.Array, np.ndarray]:
    """Lines as text, and which are no UTF-8; of these nothing is left."""
    try:
        return pa.array(block, pa.binary()).cast(pa.string()), np.zeros(len(block), bool)
    except pa.ArrowInvalid:
        texts = []
        for line in block:
            try:
                texts.append(line.decode())
            except UnicodeDecodeError:
                texts.append(None)
        bad = np.array([text is None for text in texts], bool)
        return pa.array(texts, pa.string()).fill_null(""), bad


def _raw(
    users: pa.Array, items: pa.Array, number: np.ndarray, line: np.ndarray, position: int
) -> dict[str, Any]:
    return {
        "user": users[int(line[position])].as_py(),
        "item": items[position].as_py(),
        "line": int(number[line[position]]),
    }
