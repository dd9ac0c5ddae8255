"""Images and labels in the IDX format: a big-endian header, then bytes.

    00 00 08 03   number   height   width   pixels, row by row      (images)
    00 00 08 01   number   labels                                   (labels)

Yann LeCun, Corinna Cortes and Christopher Burges, "The MNIST database of handwritten digits".
"""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath

from podway.beam.error import DataError
from podway.beam.formats.rows import RawBatch, Roles, locate
from podway.beam.formats.stream import Stream
from podway.framework.config import Idx

COLUMNS = ("name", "label", "image", "block")
BLOCK_IMAGES = 1000
"""Images of one value of "block", and of one batch of rows."""
PART_BLOCKS = 1_000_000
"""By which "block" rises from part to part."""

_IMAGES, _LABELS = "-images-idx3-ubyte", "-labels-idx1-ubyte"


def read(file: str, format: Idx, roles: Roles) -> Iterator[RawBatch]:
    """The images of a file, one row each.

    Raises:
      DataError: a file of another format or name, or one that ends too soon, no labels beside it,
        or not as many, or a label that has no class.
    """
    roles = locate(roles, COLUMNS, file)
    name = epath.Path(file).name
    part, separator, _ = name.partition(_IMAGES)
    if not separator or part not in format.parts:
        raise DataError(
            f"{file}: the name is not PART{_IMAGES} with one of data.format.parts ="
            f" {list(format.parts)}"
        )
    labels = _labels(str(epath.Path(file).parent / name.replace(_IMAGES, _LABELS)), format)
    with Stream(file) as stream:
        count, height, width = _header(stream, file, 3)
        if count and not height * width:
            raise DataError(f"{file} has images of {height} × {width} pixels, which are none")
        if count != len(labels):
            raise DataError(f"{file} has {count} images, and beside it are {len(labels)} labels")
        for start in range(0, count, BLOCK_IMAGES):
            own = labels.slice(start, BLOCK_IMAGES)
            pixels = _read(stream, file, len(own) * height * width)
            block = format.parts.index(part) * PART_BLOCKS + start // BLOCK_IMAGES
            yield _rows(part, start, block, own, pixels, roles, stream.fraction())


def count(file: str) -> int:
    """The images of a file, as its header has it; 0 where it has none."""
    try:
        with Stream(file) as stream:
            return _header(stream, file, 3)[0]
    except DataError:  # the pipeline says so
        return 0


def _rows(
    part: str, start: int, block: int, labels: pa.Array, pixels: bytes, roles: Roles, done: float
) -> RawBatch:
    numbers = np.arange(start + 1, start + len(labels) + 1)
    names = [f"{part}:{number - 1}" for number in numbers]
    flat = pa.array(np.frombuffer(pixels, np.uint8))
    columns = {
        "name": pa.array(names),
        "label": labels,
        "image": pa.FixedSizeListArray.from_arrays(flat, len(flat) // len(labels)),
        "block": pa.array(np.full(len(labels), block)),
    }

    def raw(position: int) -> Any:
        return {"name": names[position], "label": labels[position].as_py(), "block": block}

    own = {role: columns[column] for role, column in roles.items()}
    return RawBatch(columns=own, numbers=numbers, raw=raw, rejected=(), fraction=done)


def _labels(file: str, format: Idx) -> pa.Array:
    """The labels of all images, as text."""
    if not epath.Path(file).exists():
        raise DataError(f"there is no {file}, which should hold the images' labels")
    with Stream(file) as stream:
        (count,) = _header(stream, file, 1)
        values = np.frombuffer(_read(stream, file, count), np.uint8)
    classes = format.classes or tuple(map(str, range(int(values.max(initial=0)) + 1)))
    if len(values) and values.max() >= len(classes):
        raise DataError(
            f"{file} has the label {values.max()}, and data.format.classes names"
            f" {len(classes)} classes"
        )
    return pa.array(classes, pa.string()).take(pa.array(values))


def _header(stream: Stream, file: str, dimensions: int) -> tuple[int, ...]:
    magic = bytes((0, 0, 8, dimensions))
    head = _read(stream, file, 4)
    if head != magic:
        raise DataError(f"{file} begins with {head.hex()}, not {magic.hex()}: it is no IDX file")
    return struct.unpack(f">{dimensions}I", _read(stream, file, 4 * dimensions))


_PART_BYTES = 1 << 20
"""Bytes read at once: a header that was altered may promise more than there are."""


def _read(stream: Stream, file: str, count: int) -> bytes:
    """So many bytes."""
    parts, left = [], count
    try:
        while left and (part := stream.read(min(left, _PART_BYTES))):
            parts.append(part)
            left -= len(part)
    except OSError as error:
        raise DataError(f"{file} cannot be unpacked: {error}") from error
    if left:
        raise DataError(f"{file} ends {left} bytes too soon")
    return b"".join(parts)
