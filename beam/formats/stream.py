"""The bytes of a raw file: unpacked, and, where they are text, as UTF-8."""

import codecs
import lzma
import re
import struct
import zipfile
import zlib
from typing import Any, Protocol

import pyarrow as pa
from etils import epath

from podway.beam.error import DataError
from podway.framework.artifact.files import stat

SUFFIXES = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".zst": "zstd",
    ".lz4": "lz4",
    ".xz": "xz",
    ".zip": "zip",
}
"""By what a file's name ends in, how it is packed."""

_MAGIC = re.compile(
    rb"(?P<gzip>\x1f\x8b\x08)|(?P<bz2>BZh[1-9]1AY&SY)|(?P<zstd>\x28\xb5\x2f\xfd)"
    rb"|(?P<lz4>\x04\x22\x4d\x18)|(?P<xz>\xfd7zXZ\x00)|(?P<zip>PK\x03\x04)"
)
"""What packed files begin with."""

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks that say an encoding; those of UTF-32 first, as one begins like UTF-16's."""

_HEAD = 4096
"""Bytes by which an encoding is recognised."""


class Bytes(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, b"" at the end."""
        ...


class Stream:
    """The bytes of a raw file, unpacked, and how far they are read.

    Attributes:
      size: of the file, in bytes.
      packed: how the file is packed; "": it is not.
      encoding: what text is read from where it is no UTF-8, else "".
    """

    def __init__(self, file: str, encoding: str | None = None):
        """Opens it; `encoding` None: the bytes as they are, else what Csv.encoding says of text.

        Raises:
          OSError: it cannot be opened or unpacked.
          DataError: a zip archive of several files.
        """
        self.size = max(stat(file).length, 1)
        self._raw = epath.Path(file).open("rb")
        try:
            self.packed = packing(file, self._raw)
            self._bytes = _unpack(file, self._raw, self.packed)
            self.encoding = ""
            if encoding is not None:
                self.encoding, self._bytes = _as_utf8(self._bytes, encoding)
        except BaseException:
            self._raw.close()
            raise

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, b"" at the end. Raises OSError: they are not packed or encoded so."""
        return self._bytes.read(size)

    def fraction(self) -> float:
        """The part of the file that has been read, from 0 to 1."""
        return min(self._raw.tell() / self.size, 1.0)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_) -> None:
        self._raw.close()


def packing(file: str, raw: Any) -> str:
    """How a file is packed, by its name or first bytes; "": it is not."""
    for suffix, name in SUFFIXES.items():
        if file.endswith(suffix):
            return name
    found = _MAGIC.match(raw.read(16))
    raw.seek(0)
    return (found and found.lastgroup) or ""


def _unpack(file: str, raw: Any, packed: str) -> Bytes:
    if packed == "xz":
        return _AsOsError(lzma.LZMAFile(raw))
    if packed == "zip":
        return _AsOsError(_member(file, raw))
    plain = pa.PythonFile(raw, "r")
    return pa.CompressedInputStream(plain, packed) if packed else plain


def _member(file: str, raw: Any) -> Any:
    """The one file of a zip archive."""
    try:
        archive = zipfile.ZipFile(raw)
        names = [
            info.filename
            for info in archive.infolist()
            if not (info.is_dir() or info.filename.startswith("__MACOSX/"))
        ]
        if len(names) != 1:
            raise DataError(
                f"{file} holds {len(names)} files ({', '.join(names[:3])}…); a zip archive that is"
                " read holds one: unpack it, and name the files that are meant"
            )
        return archive.open(names[0])
    except _ODD_ZIP as error:
        raise OSError(f"no zip archive that can be unpacked: {error}") from error


_ODD_ZIP = (
    *(zipfile.BadZipFile, EOFError, struct.error, ValueError),
    RuntimeError,  # it needs a password, or is packed by a method that Python does not know
    IndexError,  # a file in it has no name
)
"""What `zipfile` raises of an archive that it cannot read."""


class _AsOsError:
    """Python's own unpacking; what is wrong is an OSError, as Arrow's is."""

    def __init__(self, inner: Any):
        self._inner = inner

    def read(self, size: int) -> bytes:
        try:
            return self._inner.read(size)
        except (lzma.LZMAError, zlib.error, EOFError, zipfile.BadZipFile, ValueError) as error:
            raise OSError(f"cannot be unpacked: {error}") from error


def _as_utf8(source: Bytes, encoding: str) -> tuple[str, Bytes]:
    """The encoding that is translated, "" for UTF-8, and the bytes of UTF-8, without a mark."""
    head = b""
    while len(head) < _HEAD and (more := source.read(_HEAD - len(head))):
        head += more
    found = _recognise(head) if encoding == "auto" else codecs.lookup(encoding).name
    if found in ("utf-8", "utf-8-sig"):
        return "", _Rest(head.removeprefix(codecs.BOM_UTF8), source)
    return found, _Decoded(_Rest(head, source), found)


def _recognise(head: bytes) -> str:
    """The encoding that the first bytes of a file say."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    # Text without a mark: what is ASCII has a zero beside each character.
    pairs = len(head) // 2
    even, odd = (head[start : 2 * pairs : 2].count(0) for start in (0, 1))
    if pairs and max(even, odd) > 0.4 * pairs and min(even, odd) < 0.05 * pairs:
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8"


class _Rest:
    """Bytes that have been read, and those that follow."""

    def __init__(self, head: bytes, source: Bytes):
        self._head, self._source = head, source

    def read(self, size: int) -> bytes:
        if not self._head:
            return self._source.read(size)
        found, self._head = self._head[:size], self._head[size:]
        return found + self._source.read(size - len(found)) if len(found) < size else found


class _Decoded:
    """Text of another encoding as UTF-8; what it has no character for is no UTF-8 either."""

    def __init__(self, source: Bytes, encoding: str):
        # A byte becomes half of a surrogate pair, and is itself again in the output (PEP 383); of
        # UTF-16 and UTF-32, halves that stand alone remain such.
        self._errors = "surrogatepass" if encoding.startswith("utf") else "surrogateescape"
        self._source, self._encoding = source, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)(self._errors)
        self._ready, self._begun, self._ended = b"", False, False

    def read(self, size: int) -> bytes:
        while len(self._ready) < size and not self._ended:
            raw = self._source.read(size)
            self._ended = not raw
            try:
                text = self._decoder.decode(raw, final=self._ended)
            except UnicodeError as error:
                raise OSError(f"no text in {self._encoding}: {error}") from error
            if text and not self._begun:
                text, self._begun = text.removeprefix(codecs.BOM_UTF8.decode()), True
            self._ready += text.encode("utf-8", self._errors)
        found, self._ready = self._ready[:size], self._ready[size:]
        return found
