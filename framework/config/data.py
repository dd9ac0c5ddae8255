"""Raw events → dataset: where they lie, how they are written, what becomes of them."""

import dataclasses
from typing import Literal

from podway.framework.config.features import Categorical, Gap, Label, Transform
from podway.framework.config.fields import later, neutral
from podway.framework.config.formats import Csv, Format
from podway.framework.config.raw import check_time_unit
from podway.framework.config.split import GlobalTime, LeaveOneOut, RandomSplit, Split
from podway.framework.config.where import Condition, check_conditions
from podway.framework.error import check


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which raw column plays which role."""

    user: str | None = "user"
    """Column that identifies the user; read as text. None, for RowExamples: the rows are of no
    users."""
    item: str | None = "item"
    """Column that identifies the item; read as text. None, for RowExamples: likewise."""
    time: str | None = "time"
    """Column with the event's time; None: the order of the rows is the order of time (a global-time
    split is then refused)."""
    time_unit: str = "auto"
    """What the time is written in: s, ms, us or ns since 1970 (UTC), iso (2016-05-01T10:00:00Z and
    its other forms; without a zone: UTC), or a format such as %d/%m/%Y %H:%M. "auto": what the
    first rows look like, which is said, and other rows are rejected; a number up to 1e11 is in
    seconds, up to 1e14 in ms, up to 1e17 in us. Typed timestamps and dates need none."""
    weight: str | None = later(None)
    """Column with what the event counts in the training loss, a number from 0 up; None: each
    counts 1. An event of weight 0 is history only, and no target."""
    id: str | None = later(None)
    """Column that identifies the event; read as text. Of the events of a user with one id the first
    one is kept, the others are counted as duplicates: what was delivered twice counts once. None:
    see data.duplicates."""

    def __post_init__(self):
        check_time_unit("data.columns.time_unit", self.time_unit)

    @property
    def absent(self) -> tuple[str, ...]:
        """Of user, item and time those that there are none of."""
        return tuple(role for role in ("user", "item", "time") if getattr(self, role) is None)


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
    where: tuple[Condition, ...] = later(())
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
    where: tuple[Condition, ...] = later(())
    """Rows that are read: those that satisfy all of these (framework/config/where.py). The others
    are counted as filtered."""
    targets: tuple[Condition, ...] = later(())
    """Events that are to be predicted, in training as in evaluation: those that satisfy all of
    these. The others are history only: views before purchases, say, or what was disliked."""
    features: tuple[Transform, ...] = ()
    """Features of the events, beside user, item and time."""
    tables: tuple[SideTable, ...] = ()
    """Attributes of users and items."""
    examples: Examples = Sequences()
    """What one example is."""
    duplicates: Literal["keep", "drop"] = "keep"
    """What becomes of events that equal an earlier one in user, item and time. Where events have
    ids, see data.columns.id."""
    min_user_events: int = 5
    """k-core: users with fewer events are dropped, repeatedly together with items. 1: off."""
    min_item_events: int = 5
    """k-core: items with fewer events are dropped, repeatedly together with users. 1: off."""
    max_user_events: int | None = later(None)
    """Keep a user's latest events only; earlier ones are filtered. None: all. Without it one user
    with a million events, a bot say, makes evaluation and serving read histories as long as that.
    """
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
    exclude: tuple[str, ...] = neutral(())
    """Files of `path` to leave out: paths or names, with * ? [ab] as in a shell. The version says
    which files were read, so two ways to name the same files are the same dataset."""
    version: str = neutral("")
    """Take the dataset of this version, in datasets/NAME/VERSION, whatever raw files are there by
    now, and build none."""

    def __post_init__(self):
        check(bool(self.name), "data.name is empty")
        check(bool(self.path), "data.path is empty; give a file, a folder or a pattern of files")
        for field in ("min_user_events", "min_item_events", "shards", "block_rows"):
            value = getattr(self, field)
            check(value >= 1, f"data.{field} is {value}; give 1 or more")
        for field in ("max_items", "max_user_events"):
            value = getattr(self, field)
            check(
                value is None or value >= 1,
                f"data.{field} is {value}; give 1 or more, or None",
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
        self._check_roles()

    @property
    def minima(self) -> tuple[int, int]:
        """Events that a user and an item must have; 1 of what there is none of."""
        absent = self.columns.absent
        return (
            1 if "user" in absent else self.min_user_events,
            1 if "item" in absent else self.min_item_events,
        )

    def _check_roles(self) -> None:
        """Raises ConfigError where a column is missing that something else needs."""
        rows, split = isinstance(self.examples, RowExamples), self.split
        absent = self.columns.absent
        for role in ("user", "item"):
            check(
                role not in absent or rows,
                f"data.columns.{role} is None, and data.examples is Sequences, which are histories"
                " of users' items: name the column, or set data.examples to RowExamples()",
            )
            check(
                role not in absent or not any(table.of == role for table in self.tables),
                f"data.tables has attributes of {role}s and data.columns.{role} is None: name the"
                " column that the table's key is in",
            )
        check(
            "time" not in absent or not isinstance(split, GlobalTime),
            "data.split is GlobalTime but data.columns.time is None; row order gives no clock:"
            " name a time column, or use LeaveOneOut",
        )
        check(
            "user" not in absent or not isinstance(split, LeaveOneOut),
            "data.split is LeaveOneOut, which holds out each user's last rows, and"
            " data.columns.user is None: set data.split to RandomSplit() or GlobalTime()",
        )
        for field, role in (("max_items", "item"), ("max_user_events", "user")):
            check(
                getattr(self, field) is None or role not in absent,
                f"data.{field} is set and data.columns.{role} is None: there are no {role}s",
            )
        for feature in self.features:
            check(
                not isinstance(feature, Gap) or not {"user", "time"} & {*absent},
                f"data.features has the Gap {feature.name!r}, which needs data.columns.user and"
                " data.columns.time",
            )
        if isinstance(split, RandomSplit):
            check(
                rows,
                "data.split is RandomSplit, which is of rows, and data.examples is Sequences: set"
                " it to RowExamples(), or use LeaveOneOut or GlobalTime",
            )
            check(
                split.by == "row" or "user" not in absent,
                "data.split.by is 'user' and data.columns.user is None: name the column",
            )
            names = [
                feature.name
                for feature in self.features
                if isinstance(feature, Label)
                or (isinstance(feature, Categorical) and not feature.many)
            ]
            check(
                split.stratify is None or split.stratify in names,
                f"data.split.stratify is {split.stratify!r}, which is no Label or Categorical of"
                f" data.features; there are {names}",
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
