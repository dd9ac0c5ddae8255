"""Reads raw files of which bytes were changed: what gives neither rows nor an error in words?

usage: python -m tests.beam.formats.mutated KIND SEED COUNT

A process of its own: what crashes a library's C++ ends it, and the last line names the file's seed.
"""

import bz2
import gzip
import io
import json
import lzma
import pathlib
import random
import struct
import sys
import tempfile
import time
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq

from podway.beam.formats import reader
from podway.framework.config import (
    Characters,
    Columns,
    Csv,
    Data,
    Idx,
    JsonLines,
    Lists,
    Parquet,
)
from podway.framework.error import PodwayError

SECONDS = 30.0
"""Longest time that a file of a few hundred bytes may take."""

TABLE = {
    "user": ["u1", "u2", "ü", "u1", "u3"] * 4,
    "item": ["a", "b,c", 'q"q', "d", "e"] * 4,
    "time": [*range(20)],
}
ROWS = [dict(zip(TABLE, row, strict=True)) for row in zip(*TABLE.values(), strict=True)]


def _zip(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", content)
    return file.getvalue()


def _parquet(compression: str) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(TABLE), file, compression=compression, row_group_size=7)
    return file.getvalue()


_CSV = "user,item,time\n" + "".join(
    '{},"{}",{}\r\n'.format(row["user"], row["item"].replace('"', '""'), row["time"])
    for row in ROWS
)
_DOUBLE = "".join("{}::{}::{}\n".format(*row.values()) for row in ROWS)
_JSON = "".join(json.dumps({**row, "more": [1, {"a": None}]}) + "\n" for row in ROWS)
_LISTS = "".join(f"{user} {user + 1} {user + 2} 7\n" for user in range(20))
_IMAGES = struct.pack(">4B3I", 0, 0, 8, 3, 6, 2, 3) + bytes(range(36))
LABELS = struct.pack(">4BI", 0, 0, 8, 1, 6) + bytes([0, 1, 0, 1, 1, 0])

KINDS = {
    "csv": ("a.csv", _CSV.encode(), Csv()),
    "csv.gz": ("a.csv.gz", gzip.compress(_CSV.encode()), Csv()),
    "csv.bz2": ("a.csv.bz2", bz2.compress(_CSV.encode()), Csv()),
    "csv.xz": ("a.csv.xz", lzma.compress(_CSV.encode()), Csv()),
    "csv.zip": ("a.csv.zip", _zip(_CSV.encode()), Csv()),
    "csv16": ("a.csv", _CSV.encode("utf-16"), Csv()),
    "dat": (
        "a.dat",
        _DOUBLE.encode(),
        Csv(delimiter="::", header=False, names=("user", "item", "time")),
    ),
    "jsonl": ("a.jsonl", _JSON.encode(), JsonLines()),
    "lists": ("a.txt", _LISTS.encode(), Lists()),
    "parquet": ("a.parquet", _parquet("snappy"), Parquet()),
    "parquet.plain": ("a.parquet", _parquet("none"), Parquet()),
    "text": ("a.txt", "aüb\n🙂 c\r\n,".encode() * 9, Characters(document=4)),
    "idx": ("train-images-idx3-ubyte", _IMAGES, Idx(classes=("shoe", "hat"))),
}
"""Name of the file, its bytes and its format, by kind."""

_TIMES = {"lists": None, "text": None, "idx": "block"}
_NAMES = {"text": ("document", "character"), "idx": ("name", "label")}


def data(kind: str, folder: pathlib.Path) -> Data:
    """What the file is of."""
    user, item = _NAMES.get(kind, ("user", "item"))
    columns = Columns(user=user, item=item, time=_TIMES.get(kind, "time"))
    return Data(name="mutated", path=str(folder / "*"), format=KINDS[kind][2], columns=columns)


def mutated(original: bytes, draw: random.Random) -> bytes:
    """One to four changes: a bit, a byte, a part that is lost, doubled or moved, or another end."""
    content = bytearray(original)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(content) + 1)
        end = min(len(content), at + draw.choice((1, 1, 2, 4, 8, 40)))
        match draw.randrange(7):
            case 0 if at < len(content):
                content[at] ^= 1 << draw.randrange(8)
            case 1 if at < len(content):
                content[at] = draw.choice((0, 0xFF, 0x22, 0x0A, 0x0D, 0x2C, 0x7F, 0x80))
            case 2:
                del content[at:end]
            case 3:
                content[at:at] = content[at:end]
            case 4:
                content[at:at] = draw.randbytes(draw.randint(1, 8))
            case 5:
                part = content[at:end]
                del content[at:end]
                place = draw.randrange(len(content) + 1)
                content[place:place] = part
            case _:
                del content[at:]
    return bytes(content)


def problem(kind: str, seed: int, folder: pathlib.Path) -> str:
    """What is wrong with how a changed file is read; "" where it is rows or an error in words."""
    name, content, _ = KINDS[kind]
    given = data(kind, folder)
    (folder / name).write_bytes(mutated(content, random.Random(seed)))
    start, last = time.monotonic(), 0
    try:
        for batch in reader.read(str(folder / name), given):
            numbers = [*batch.numbers.tolist(), *(row.row for row in batch.rejected)]
            if len(set(numbers)) != len(numbers):
                return "a row is there twice"
            if numbers and min(numbers) <= last:
                return "rows are not in order"
            last = max([last, *numbers])
            for column in batch.columns.values():
                if len(column) != len(batch.numbers):
                    return "columns differ in length"
            for at in range(len(batch.numbers)):
                json.dumps(batch.raw(at))
            json.dumps([[row.reason, row.raw] for row in batch.rejected])
    except PodwayError as error:
        if name not in str(error):
            return f"the error does not name the file: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    took = time.monotonic() - start
    return f"took {took:.0f} s" if took > SECONDS else ""


def main(kind: str, seed: int, count: int) -> None:
    """Prints a line for each problem, and how many files were read."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if kind == "idx":
            (folder / "train-labels-idx1-ubyte").write_bytes(LABELS)
        for each in range(seed, seed + count):
            print(f"reads {kind} {each}", file=sys.stderr, flush=True)
            if found := problem(kind, each, folder):
                print(f"{kind} {each}: {found}", flush=True)
    print(f"{count} files")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
