"""Raw files that are packed or encoded otherwise: read alike by every reader of text."""

import bz2
import codecs
import gzip
import lzma
import zipfile

import pyarrow as pa
import pytest

from podway.beam.error import DataError
from podway.beam.formats import csv, json_lines, text
from podway.beam.formats.stream import Stream
from podway.framework.config import Characters, Csv, JsonLines

WORDS = ["Café", "naïve", "Σ 1", "日本", "🙂"]
ROLES = {"user": "user", "item": "item"}


def zipped(content: bytes, *names: str) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.PythonFile(buffer, "w") as sink, zipfile.ZipFile(sink, "w") as archive:
        for name in names or ("a.csv", "__MACOSX/._a.csv"):
            archive.writestr(name, content)
    return buffer.getvalue().to_pybytes()


PACK = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, "zstd", asbytes=True),
    ".zip": zipped,
}


def items(path, format) -> list[str]:
    if isinstance(format, JsonLines):
        batches = json_lines.read(str(path), format, ROLES)
    elif isinstance(format, Csv):
        batches = csv.read(str(path), format, ROLES)
    else:
        roles = {"user": "document", "item": "character"}
        batches = text.read(str(path), format, roles)
    found = []
    for batch in batches:
        assert not batch.rejected
        found += [value.as_py() for value in batch.columns["item"]]
    return [value.decode() if isinstance(value, bytes) else value for value in found]


def content_of(format, encoding: str = "utf-8") -> bytes:
    if isinstance(format, JsonLines):
        rows = "".join(f'{{"user": "u", "item": "{word}"}}\n' for word in WORDS)
    elif isinstance(format, Csv):
        rows = "user,item\n" + "".join(f"u,{word}\n" for word in WORDS)
    else:
        rows = "".join(WORDS)
    return rows.encode(encoding)


FORMATS = [Csv(), JsonLines(), Characters(4)]


def expected(format) -> list[str]:
    return [*"".join(WORDS)] if isinstance(format, Characters) else WORDS


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("suffix", PACK)
def test_packed_files_are_known_by_their_name_or_their_first_bytes(tmp_path, format, suffix):
    packed = PACK[suffix](content_of(format))
    for name in (f"a.csv{suffix}", "part-00000"):
        (tmp_path / name).write_bytes(packed)
        assert items(tmp_path / name, format) == expected(format)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("suffix", PACK)
def test_packed_files_that_are_cut_short(tmp_path, format, suffix):
    packed = PACK[suffix](content_of(format) * 50)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(packed[:-9])
    with pytest.raises(DataError, match=rf"a\{suffix} cannot be read as"):
        items(path, format)


def test_an_archive_of_several_files(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(b"user,item\nu,i\n", "a.csv", "b.csv"))
    with pytest.raises(DataError, match=r"a\.zip holds 2 files \(a.csv, b.csv…\); .*unpack it"):
        items(path, Csv())


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("mark", "encoding", "said"),
    [
        (codecs.BOM_UTF8, "utf-8", ""),
        (b"", "utf-16", "utf-16"),  # which writes its mark
        (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16"),
        (b"", "utf-32", "utf-32"),
    ],
)
def test_a_byte_order_mark_says_the_encoding(tmp_path, format, mark, encoding, said):
    path = tmp_path / "a"
    path.write_bytes(mark + content_of(format, encoding))
    assert items(path, format) == expected(format)
    with Stream(str(path), "auto") as stream:
        assert stream.encoding == said


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_known_by_its_zeros(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes("user,item\nu,Café\nuser 2,naïve\n".encode(encoding))
    assert items(path, Csv()) == ["Café", "naïve"]
    (batch,) = csv.read(str(path), Csv(), ROLES)
    assert batch.notices == {f"read as {encoding}": 2}


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1251", "gb18030", "shift_jis"])
def test_a_declared_encoding(tmp_path, encoding):
    word = {"cp1251": "Кино", "gb18030": "日本", "shift_jis": "日本"}.get(encoding, "Café")
    (tmp_path / "a.csv").write_bytes(f"user,item\nu,{word}\n".encode(encoding))
    assert items(tmp_path / "a.csv", Csv(encoding=encoding)) == [word]
    (tmp_path / "a.json").write_bytes(f'{{"user": 1, "item": "{word}"}}\n'.encode(encoding))
    assert items(tmp_path / "a.json", JsonLines(encoding=encoding)) == [word]


def test_a_character_that_the_encoding_has_not_is_a_row_of_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"user,item\nu,a\x81\nu,b\x80\n")
    (batch,) = csv.read(str(tmp_path / "a.csv"), Csv(encoding="cp1252"), ROLES)
    assert batch.columns["item"].to_pylist() == [b"a\x81", "b€".encode()]
    lone = "user,item\nu,a\nu,".encode("utf-16") + b"\x00\xd8" + "x\n".encode("utf-16-le")
    (tmp_path / "b.csv").write_bytes(lone)
    (batch,) = csv.read(str(tmp_path / "b.csv"), Csv(), ROLES)
    assert batch.columns["item"].to_pylist() == [b"a", b"\xed\xa0\x80x"]  # rejected later


@pytest.mark.parametrize("format", FORMATS)
def test_utf_16_that_is_cut_within_a_character(tmp_path, format):
    (tmp_path / "a").write_bytes(content_of(format, "utf-16")[:-1])
    with pytest.raises(DataError, match="no text in utf-16"):
        items(tmp_path / "a", format)


def test_how_far_a_file_is_read(tmp_path):
    path = tmp_path / "a.csv.xz"
    path.write_bytes(lzma.compress(bytes(range(256)) * 4000))
    with Stream(str(path)) as stream:
        read = 0
        while chunk := stream.read(100_000):
            read += len(chunk)
            assert 0 < stream.fraction() <= 1
        assert (read, stream.fraction(), stream.packed) == (256 * 4000, 1.0, "xz")
