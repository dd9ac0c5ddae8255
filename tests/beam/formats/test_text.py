import gzip
import json

import pytest

from podway.beam import dataset
from podway.beam.error import DataError
from podway.beam.formats import text
from podway.framework.config import Characters, Columns
from tests.beam.conftest import by_user, letters_of, make_data, report_of

COLUMNS = Columns(user="document", item="character", time=None)
ROLES = {"user": "document", "item": "character"}
TEXT = 'aüb\n🙂 c\r\n,"d'


def rows(path, document=4):
    return list(text.read(str(path), Characters(document), ROLES))


@pytest.mark.parametrize("block", [1, 3, 1 << 20])
@pytest.mark.parametrize("packed", [False, True])
def test_every_character_is_a_row_of_its_document(tmp_path, monkeypatch, block, packed):
    monkeypatch.setattr(text, "BLOCK_BYTES", block)
    path = tmp_path / ("a.txt.gz" if packed else "a.txt")
    content = b"\xef\xbb\xbf" + TEXT.encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    found = rows(path)
    read = [
        (number, *(batch.columns[role][at].as_py() for role in ROLES))
        for batch in found
        for at, number in enumerate(batch.numbers.tolist())
    ]
    assert read == [(at + 1, f"{path.name}:{at // 4}", each) for at, each in enumerate(TEXT)]
    assert found[0].raw(0) == {"document": f"{path.name}:0", "character": "a"}
    assert found[-1].fraction == 1.0


@pytest.mark.parametrize("block", [2, 1 << 20])
def test_bytes_that_are_no_text_are_rejected_with_their_place(tmp_path, monkeypatch, block):
    monkeypatch.setattr(text, "BLOCK_BYTES", block)
    path = tmp_path / "a.txt"
    # A lone continuation, an encoded surrogate, a character that is cut short.
    path.write_bytes(b"ab\x80c\xed\xa0\x80d\xe2\x82")
    batches = rows(path)
    kept = [
        (int(number), batch.columns["item"][at].as_py(), batch.columns["user"][at].as_py())
        for batch in batches
        for at, number in enumerate(batch.numbers)
    ]
    assert kept == [
        (1, "a", "a.txt:0"),
        (2, "b", "a.txt:0"),
        (4, "c", "a.txt:0"),
        (8, "d", "a.txt:1"),
    ]
    rejected = [row for batch in batches for row in batch.rejected]
    assert {row.reason for row in rejected} == {"invalid UTF-8"}
    assert [(row.row, row.raw) for row in rejected] == [
        (3, "\\x80"),
        (5, "\\xed"),
        (6, "\\xa0"),
        (7, "\\x80"),
        (9, "\\xe2"),
        (10, "\\x82"),
    ]


def test_a_dataset_of_texts(tmp_path):
    (tmp_path / "a.txt").write_text("hello world!")
    (tmp_path / "b.txt").write_bytes(b"hel\xffofgh\0jkl")
    data = make_data(tmp_path / "*.txt", format=Characters(5), columns=COLUMNS, max_rejected=0.1)
    built = dataset.build(data, tmp_path / "w")
    assert by_user(built, "train") == {
        "a.txt:0": "hel",
        "a.txt:1": " wo",
        "a.txt:2": "d!",
        "b.txt:0": "he",
        "b.txt:1": "fg",
        "b.txt:2": "kl",
    }
    assert by_user(built, "validation")["a.txt:0"] == ("hel", "l")
    assert by_user(built, "test")["b.txt:0"] == ("hel", "o")
    assert report_of(built)["rejected"] == {"invalid UTF-8": 1, "null byte in item": 1}
    letters = letters_of(built)
    assert [(each["row"], each["raw"]) for each in letters] == [
        (4, "\\xff"),
        (9, {"document": "b.txt:1", "character": "\0"}),
    ]
    assert json.loads((built / "schema.json").read_text())


def test_other_columns_and_files_that_are_cut_short_are_errors(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"hello" * 1000)[:-20])
    with pytest.raises(DataError, match=r"no column 'user'; set data\.columns\.user to one of"):
        list(text.read(str(path), Characters(4), {"user": "user", "item": "character"}))
    with pytest.raises(DataError, match=r"a\.txt\.gz cannot be read as text"):
        rows(path)
