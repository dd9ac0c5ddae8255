"""Quotes that do what they should not: seen, counted, refused with the place and the remedy."""

import csv as python_csv
import io
import random

import pytest

from podway.beam.error import DataError
from podway.beam.formats import csv
from podway.beam.formats.quotes import INSIDE, OUTSIDE, Quotes, are_text, look_like_rows
from podway.framework.config import Csv

ROLES = {"user": "user", "item": "item", "time": "time"}


def read(path, content: bytes, format: Csv = Csv(), roles=ROLES) -> list[dict]:  # noqa: B008
    path.write_bytes(content)
    rows = []
    for batch in csv.read(str(path), format, roles):
        rows += [
            {role: array[at].as_py() for role, array in batch.columns.items()}
            for at in range(len(batch.numbers))
        ]
    return rows


def notices(path, format: Csv) -> dict[str, int]:
    found = {}
    for batch in csv.read(str(path), format, ROLES):
        for notice, count in batch.notices.items():
            found[notice] = found.get(notice, 0) + count
    return found


def slowly(text: bytes) -> tuple[int, int, tuple[int, int] | None, int]:
    """Byte by byte: values closed at their ends, values that go on, the first that does so over
    several lines, and where it ends."""
    state, opened, proper, dropped, broken, at = OUTSIDE, 0, 0, 0, None, 0
    while at < len(text):
        here, before, after = text[at : at + 1], text[at - 1 : at] or b"\n", text[at + 1 : at + 2]
        if here == b'"' and state == OUTSIDE and before in (b",", b"\n", b"\r"):
            state, opened = INSIDE, at
        elif here == b'"' and state == INSIDE and after == b'"':
            at += 1
        elif here == b'"' and state == INSIDE:
            state = OUTSIDE
            inner = text[opened:at]
            if after in (b",", b"\n", b"\r"):
                proper += 1
            elif b"\n" in inner or b"\r" in inner:
                broken = broken or (opened, at)
            else:
                dropped += 1
        at += 1
    return proper, dropped, broken, state


@pytest.mark.parametrize("closely", [True, False])
def test_quotes_are_told_apart_as_byte_by_byte(closely):
    generator = random.Random(7)
    for trial in range(3000):
        alphabet = 'a,\n"' if trial % 2 else 'a,\n"\r,""a'
        text = "".join(generator.choice(alphabet) for _ in range(generator.randrange(1, 30)))
        content = text.encode() + b"\n"
        quotes, start = Quotes(b'"', b","), 0
        while start < len(content):
            size = generator.randrange(1, 12)
            quotes.feed(content[start : start + size], closely=closely)
            start += size
        proper, dropped, broken, state = slowly(content)
        assert (quotes.dropped, quotes.broken) == (dropped, broken), content
        assert (quotes.state != OUTSIDE) == (state != OUTSIDE), content
        assert quotes.seen == (b'"' in content)
        if closely:
            assert quotes.proper == proper


def test_what_is_proper_is_left_alone():
    """Files that Python's writer makes have nothing wrong, whatever stands in them."""
    generator = random.Random(3)
    for _ in range(300):
        rows = [
            [
                "".join(generator.choice('a,"\n ') for _ in range(generator.randrange(5)))
                for _ in "abc"
            ]
            for _ in range(5)
        ]
        text = io.StringIO()
        python_csv.writer(text, quoting=generator.choice([0, 1])).writerows(rows)
        quotes = Quotes(b'"', b",")
        for at in range(0, len(text.getvalue()), 7):
            quotes.feed(text.getvalue().encode()[at : at + 7])
        assert (quotes.dropped, quotes.broken, quotes.state) == (0, None, OUTSIDE)


def test_what_is_escaped_is_no_quote():
    quotes = Quotes(b'"', b",", b"\\")
    for part in (b'a,"x\\', b'"y",b\n\\"a,b', b'\\\\,"c"', b"\n"):
        quotes.feed(part)
    assert (quotes.dropped, quotes.broken, quotes.state) == (0, None, OUTSIDE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('u,i,"Heroes\nu,i,x\nu,i,The "Best"\n', True),  # closes before text
        ('u,i,"Heroes\nu,i,x\n', True),  # never closes
        ('u,i,"Heroes\nu,i,x"\n', True),  # closes at an end, by chance
        ('u,i,"Heroes" by Bowie\n', True),
        ('u,i,"Heroes" by Bowie\n"u","i","x"\n', False),  # quotes are used elsewhere
        ('"u","i","a\nb"\n', False),  # lines of a value that are no rows
        ('u,i,"a ""b"" c"\nu,i,"Heroes" x\n', False),  # doubled ones are no text
        ('u,i,5" pipe\nu,i,7"\n', False),  # read alike either way
        ("u,i,x\n", False),
        ('u,i,"a, b"\nu,i,"c\n', False),  # a delimiter in quotes: no row otherwise
    ],
)
def test_when_quotes_are_text(text, expected):
    assert are_text(text.encode(), b'"', b",", 3) == expected


def test_lines_look_like_rows():
    row, other = b"a,b,c", b"a"
    assert look_like_rows([row, row], b",", 3)
    assert not look_like_rows([row, other], b",", 3)
    assert look_like_rows([other, row, row, other], b",", 3)
    assert not look_like_rows([other, row, other, other], b",", 3)
    assert not look_like_rows([b"a", b"b"], b",", 1)


HEAD = b"user,item,time,title\n"
ROWS = [b"u%d,i%d,%d,t%d" % (at, at % 3, at, at) for at in range(12)]
REMEDY = r"--data\.format\.quote none"


@pytest.mark.parametrize("block", [128, 1 << 20])
@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (
            {3: b'u,i,3,"Heroes', 9: b'u,i,9,The "Best"'},
            f"the quote that opens in row 4, line 5 swallows 6 lines, and text follows .* line 11;"
            rf".*{REMEDY}\), else mend line 5",
        ),
        (
            {3: b'u,i,3,"Heroes', 7: b'u,i,9,Best"'},
            rf"the quote that opens in row 4, line 5, swallows 4 lines, which look like rows;"
            rf".*{REMEDY}\), or to .*really has line ends",
        ),
        ({3: b'u,"i,3,x', 6: b'u",i,9,y,z'}, "row 4, line 5, swallows 3 lines, which look like"),
        ({8: b'u,i,3,"Heroes'}, f"opens in row 9 is never closed;.*{REMEDY}.*line 10|straddling"),
    ],
)
def test_rows_that_a_quote_swallows_are_an_error(tmp_path, monkeypatch, block, spoilt, message):
    monkeypatch.setattr(csv, "BLOCK_BYTES", block)
    rows = [spoilt.get(at, row) for at, row in enumerate(ROWS)]
    with pytest.raises(DataError, match=rf"a\.csv: .*({message})"):
        read(tmp_path / "a.csv", HEAD + b"\n".join(rows) + b"\n")
    # Declared as text, every row is there.
    kept = read(tmp_path / "a.csv", HEAD + b"\n".join(rows), Csv(quote="none"))
    assert len(kept) == len(ROWS) - (6 in spoilt)


def test_values_that_really_have_line_ends(tmp_path):
    content = HEAD + b'u,i,1,"one\ntwo"\nu,j,2,"a\n\n\nb\nc"\nu,k,3,"x, y\nz, z, z, z"\n'
    path = tmp_path / "a.csv"
    assert [row["item"] for row in read(path, content)] == [b"i", b"j", b"k"]
    assert notices(path, Csv()) == {"values over 2 to 9 lines": 3}
    # Lines that look like rows are asked about, and declared to be none they are none.
    content = HEAD + b'u,i,1,"a\nb,c,d,e"\nu,k,2,x\n'
    with pytest.raises(DataError, match=r"row 1, line 2, swallows 1 lines, which look like rows"):
        read(path, content)
    assert len(read(path, content, Csv(quote='"'))) == 2
    long = b"\n".join(b"line" for _ in range(150))
    read(path, HEAD + b'u,i,1,"' + long + b'"\n')
    assert notices(path, Csv()) == {"values over 100 to 999 lines": 1}


def test_text_after_a_closing_quote_is_said(tmp_path):
    content = HEAD + b'u,i,1,"Heroes" by Bowie\n"u","i",2,"x"\n'
    roles = {**ROLES, "title": "title"}
    rows = read(tmp_path / "a.csv", content, roles=roles)
    assert [row["title"] for row in rows] == [b"Heroes by Bowie", b"x"]
    expected = {"quotes are dropped of values that go on after the closing one": 1}
    assert notices(tmp_path / "a.csv", Csv()) == expected
    (first, _) = read(tmp_path / "a.csv", content, Csv(quote="none"), roles)
    assert first["title"] == b'"Heroes" by Bowie'
