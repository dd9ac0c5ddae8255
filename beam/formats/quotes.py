"""Quotes of a CSV file that do what they should not.

By RFC 4180 a quote opens a value only at its begin, is doubled inside of it, and closes it only at
its end. A stray one opens a value that goes on over all that follows, up to the next quote: rows
are swallowed, and those that are left look right. So the bytes are watched on their way to the
parser.
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

OUTSIDE, INSIDE, AFTER = range(3)
"""Of a quoted value; just after a quote inside of it, which closes it or is doubled."""

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclasses.dataclass
class Quotes:
    """Watches the bytes of a file, which come in chunks.

    Attributes:
      quote, delimiter, escape: the characters, a byte each; escape b"": there is none.
      seen: whether there was any quote.
      state: where it stands.
      opened: offset of the quote that opened the last quoted value.
      broken: offsets of the first quote that opens a value over several lines which closes in
        front of further text, and of the one that closes it.
      dropped: values on one line that go on after the quote which closes them.
      proper: values that close at their ends, as far as chunks had to be looked at closely.
      doubled: of them, those with a doubled quote inside.
      long: of them, those over several lines: where they open and close.
    """

    quote: bytes
    delimiter: bytes
    escape: bytes = b""
    seen: bool = False
    state: int = OUTSIDE
    opened: int = 0
    broken: tuple[int, int] | None = None
    dropped: int = 0
    proper: int = 0
    doubled: int = 0
    long: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    _offset: int = 0
    _last: int = ord("\n")
    _escaped: bool = False
    _spans: bool = False
    _has_doubled: bool = False

    def feed(self, chunk: bytes, *, closely: bool = False) -> None:
        """The next bytes of the file; `closely` counts all that the attributes say."""
        if not chunk:
            return
        if self.escape:
            chunk = self._without_escapes(chunk)
        if self.quote in chunk:
            self.seen = True
            at = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord(self.quote))
            if closely or not self._is_regular(chunk, at):
                self._walk(chunk, at.tolist())
        elif self.state == AFTER:
            self._walk(chunk, [])
        if self.state != OUTSIDE:
            tail = chunk[max(self.opened - self._offset, 0) :]
            self._spans = self._spans or b"\n" in tail or b"\r" in tail
        self._last = chunk[-1]
        self._offset += len(chunk)

    def _without_escapes(self, chunk: bytes) -> bytes:
        """As many bytes, without what is escaped."""
        if self._escaped:
            chunk = b" " + chunk[1:]
        self._escaped = len(chunk[len(chunk.rstrip(self.escape)) :]) % 2 == 1
        return re.sub(re.escape(self.escape) + rb"[\s\S]", b"  ", chunk)

    def _is_regular(self, chunk: bytes, at: np.ndarray) -> bool:
        """Whether all quotes of a chunk are where they should be; if so, it has been dealt with."""
        if self.state == AFTER or at[-1] == len(chunk) - 1:
            return False
        text = np.frombuffer(chunk, np.uint8)
        before = np.where(at > 0, text[at - 1], self._last)
        ends = np.zeros(256, bool)
        ends[[*self.delimiter, *b"\r\n"]] = True
        beside = np.append(False, np.diff(at) == 1)  # the quote before it
        opens = (np.arange(len(at)) % 2 == 0) == (self.state == OUTSIDE)
        right = np.where(
            opens, ends[before] | beside, ends[text[at + 1]] | np.append(beside[1:], False)
        )
        if not right.all():
            return False
        first = opens & ~beside
        if first.any():
            self.opened, self._spans = self._offset + int(at[first][-1]), False
        self.state = INSIDE if opens[-1] else OUTSIDE
        return True

    def _walk(self, chunk: bytes, at: list[int]) -> None:
        quote, ends, index = ord(self.quote), {*self.delimiter, *b"\r\n"}, 0
        if self.state == AFTER:
            if chunk[0] == quote:
                self.state, self._has_doubled, index = INSIDE, True, 1
            else:
                self._close(chunk, -1, chunk[0] in ends)
        while index < len(at):
            here = at[index]
            index += 1
            if self.state == OUTSIDE:
                if (chunk[here - 1] if here else self._last) in ends:
                    self.state, self.opened = INSIDE, self._offset + here
                    self._spans = self._has_doubled = False
            elif here + 1 == len(chunk):
                self.state = AFTER
            elif chunk[here + 1] == quote:
                self._has_doubled = True
                index += 1
            else:
                self._close(chunk, here, chunk[here + 1] in ends)

    def _close(self, chunk: bytes, here: int, properly: bool) -> None:
        self.state = OUTSIDE
        inner = chunk[max(self.opened - self._offset, 0) : max(here, 0)]
        spans = self._spans or b"\n" in inner or b"\r" in inner
        place = self.opened, self._offset + here
        if properly:
            self.proper += 1
            self.doubled += self._has_doubled
            self.long += [place] if spans else []
        elif spans:
            self.broken = self.broken or place
        else:
            self.dropped += 1


def look_like_rows(lines: Sequence[bytes], delimiter: bytes, columns: int) -> bool:
    """Whether lines that a value takes up are rows of so many columns, all or half of many."""
    like = sum(line.count(delimiter) == columns - 1 for line in lines)
    return columns > 1 and len(lines) > 1 and (like == len(lines) or 2 * like >= len(lines) > 3)


def are_text(sample: bytes, quote: bytes, delimiter: bytes, columns: int) -> bool:
    """Whether the start of a file, of whole lines, makes sense only where quotes are text.

    So it is where each line is a row of so many columns, and as quotes at least as many values go
    wrong as right: rows are swallowed, or text follows the quote that closes a value.
    """
    lines = [line for line in _LINE_END.split(sample) if line]
    if any(line.count(delimiter) != columns - 1 for line in lines):
        return False
    quotes = Quotes(quote, delimiter)
    quotes.feed(sample + b"\n", closely=True)
    wrong = sum(
        look_like_rows(_LINE_END.split(lines_around(sample, *place)), delimiter, columns)
        for place in quotes.long
    )
    right = quotes.proper - wrong
    wrong += quotes.dropped + (quotes.broken is not None) + (quotes.state != OUTSIDE)
    return not quotes.doubled and wrong >= max(right, 1)


def lines_around(text: bytes, first: int, last: int) -> bytes:
    """The whole lines from one offset to another."""
    ends = [end for mark in (b"\n", b"\r") if (end := text.find(mark, last)) >= 0]
    start = max(text.rfind(b"\n", 0, first), text.rfind(b"\r", 0, first)) + 1
    return text[start : min(ends, default=len(text))]
