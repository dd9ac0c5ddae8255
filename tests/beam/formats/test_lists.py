"""Lines of items, against a loop over lines."""

import gzip
import pathlib
import random

import pytest

from podway.beam.engines import estimate
from podway.beam.error import DataError
from podway.beam.formats import lists, reader
from podway.framework.config import Columns, Lists, OneOf
from tests.beam.conftest import by_user, letters_of, make_data, report_of

TEXTS = ["1", "22", "ü", "a b", "x:y", "", "-1", "日本"]


def slowly(lines: list[str], format: Lists) -> list[tuple[int, str, str]]:
    """(number of the row, user, item); a line without items is a row, too, with the item "no"."""
    found, number = [], 0
    for line_number, line in enumerate(lines, 1):
        text = line if format.separator else line.strip()
        if not text:
            continue
        head, parts = f"raw.txt:{line_number}", text
        if format.user and format.after_user:
            head, _, parts = text.partition(format.after_user)
        parts = parts if format.separator else parts.strip()
        tokens = (parts.split(format.separator) if format.separator else parts.split()) or [""]
        if format.user and not format.after_user:
            head, *tokens = tokens
        elif parts == "":
            tokens = []
        for token in tokens or ["no"]:
            number += 1
            found.append((number, head, token))
    return found


def read(path: pathlib.Path, format: Lists) -> list[tuple[int, str, str]]:
    data = make_data(path, format=format, columns=Columns(time=None))
    found = []
    for rows in reader.read(str(path), data):
        users, items = (rows.columns[role].to_pylist() for role in ("user", "item"))
        found += list(zip(rows.numbers.tolist(), users, items, strict=True))
        for at, (user, item) in enumerate(zip(users, items, strict=True)):
            assert rows.raw(at)["user"] == user
            assert rows.raw(at)["item"] == item
        for row in rows.rejected:
            assert row.reason == "no items"
            user = (row.raw.partition(format.after_user or format.separator or " ")[0]).strip()
            found.append((row.row, user, "no"))
    return sorted(found)


FORMATS = [
    Lists(),
    Lists(separator=","),
    Lists(after_user="\t", separator=","),
    Lists(after_user=":"),
    Lists(user=False),
    Lists(user=False, separator=";"),
]


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("block", [7, 1 << 20])
def test_rows_are_those_of_a_loop(tmp_path, format, block, monkeypatch):
    monkeypatch.setattr(lists, "BLOCK_BYTES", block)
    generator = random.Random(3)
    for end in ("\n", "\r\n"):
        lines = []
        for _ in range(60):
            parts = generator.choices(TEXTS[: 3 if generator.random() < 0.7 else 8], k=4)
            parts = parts[: generator.randrange(5)]
            between = format.separator or generator.choice([" ", "\t", "  "])
            head = [f"u{generator.randrange(9)}"] if format.user else []
            if format.after_user:
                lines.append("".join(head) + format.after_user + between.join(parts))
            else:
                lines.append(
                    between.join([*head, *parts])
                    + generator.choice(["", " "] if not format.separator else [""])
                )
        path = tmp_path / "raw.txt"
        path.write_bytes(end.join([*lines, ""]).encode("utf-8-sig"))
        assert read(path, format) == slowly(lines, format)
        path.write_bytes(end.join(lines).encode())  # without an end of the last line
        assert read(path, format) == slowly(lines, format)


def test_from_train_and_test_files_to_a_dataset(tmp_path, build):
    """As papers give them: users and items are numbers, the test file's follow the train file's."""
    (tmp_path / "train.txt").write_text("0 5 6 7\n1 5 7 \n\n2 6\n3\n")
    (tmp_path / "test.txt.gz").write_bytes(gzip.compress(b"0 8 5\n1 6\n"))
    directory = build(
        tmp_path / "{train.txt,test.txt*}",
        format=Lists(),
        columns=Columns(time=None),
        max_rejected=0.2,
    )
    assert by_user(directory, "train") == {"0": "567", "1": "5", "2": "6"}
    assert by_user(directory, "validation") == {"0": ("567", ""), "1": ("5", "7")}
    assert by_user(directory, "test") == {"0": ("567", "5"), "1": ("57", "6")}
    assert [(row["row"], row["reason"], row["raw"]) for row in letters_of(directory)] == [
        (7, "no items", "3")
    ]


def test_sessions_without_users_and_bad_bytes(tmp_path, build):
    (tmp_path / "retail.dat").write_bytes(b"a b c\nb \xff c\nc b a b\na b c\n")
    directory = build(
        tmp_path / "retail.dat",
        format=Lists(user=False),
        columns=Columns(time=None),
        max_rejected=0.2,
        where=(OneOf("item", ("a", "b")),),
        min_user_events=3,
    )
    assert set(by_user(directory, "train")) == {"retail.dat:3"}
    assert report_of(directory)["rejected"] == {"invalid UTF-8": 1}
    (letter,) = letters_of(directory)
    assert (letter["row"], letter["raw"]) == (4, "b \\xff c")


def test_times_are_refused_with_the_remedy(tmp_path, build):
    (tmp_path / "a.txt").write_text("0 1 2\n")
    with pytest.raises(DataError, match=r"has no column 'time'; .*, or to None: then the order of"):
        build(tmp_path / "a.txt", format=Lists())


def test_rows_are_estimated(tmp_path):
    (tmp_path / "a.txt").write_text("0 1 2 3\n1 5\n" * 1000)
    data = make_data(tmp_path / "a.txt", format=Lists(), columns=Columns(time=None))
    assert estimate.estimate(data, [data.path]).rows == 4000
