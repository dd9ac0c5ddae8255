"""Features: which raw columns become model inputs, and how. Pure Python.

A transform here is a definition only. Fitted on the train split it becomes a FittedTransform,
which two rooms execute: beam/ on Arrow columns, export/ in the serving graph. Both follow what the
docstrings here say, to the bit for ids and to float32 rounding for numbers.

Raw values come in four kinds:

    text     UTF-8; missing: null or "". What is no text in the raw data is read as text: see
             beam/features/canonical.py
    pixels   a list, or bytes, of whole numbers from 0 to 255, as many for each; missing: null
    number   rounded to float32 first, where what is beyond the finite ones becomes the nearest of
             them, and what is subnormal 0; missing: null or NaN
    time     int64 microseconds since 1970 (UTC); missing: null

Ids start as those of the vocabularies do: 0 is PADDING (and "missing"), 1 OUT_OF_VOCABULARY.
"""

import dataclasses
import math
from typing import Literal

from podway.framework.config.raw import check_time_unit
from podway.framework.error import check

Kind = Literal["text", "pixels", "number", "time"]

LARGEST_ID = 2**31 - 1
"""Ids are int32."""
LARGEST, SMALLEST = 3.4028234663852886e38, 1.1754943508222875e-38
"""The largest finite float32, and the smallest positive one that is not subnormal."""

_DAY = 86_400 * 1_000_000


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """How text is cut into tokens. Choose Words, CharacterNgrams or Bytes."""


@dataclasses.dataclass(frozen=True)
class Words(Tokenizer):
    """Runs of letters, marks and digits (Unicode general categories L, M, N), in order.

    Which code points these are, and their lowercase, stands in framework/schema/code_points.py.
    What is no UTF-8 divides words.
    """

    lowercase: bool = True
    """Map each code point to its simple lowercase first."""


@dataclasses.dataclass(frozen=True)
class CharacterNgrams(Tokenizer):
    """All runs of `size` code points within the words, each word framed by "<" and ">".

    Framed words no longer than `size` are one token (Bojanowski et al., 2017).
    """

    size: int = 3
    """Code points in a token."""
    lowercase: bool = True
    """Map each code point to its simple lowercase first."""

    def __post_init__(self):
        check(self.size >= 2, f"tokenizer.size is {self.size}; give 2 or more")


@dataclasses.dataclass(frozen=True)
class Bytes(Tokenizer):
    """The bytes of the UTF-8 text: id = 2 + byte. Needs no vocabulary."""


@dataclasses.dataclass(frozen=True)
class Transform:
    """How one raw column becomes a feature."""

    name: str
    """Name of the feature; no other feature of the dataset has it."""
    column: str = ""
    """Raw column; "": the one that has the feature's name."""

    def __post_init__(self):
        check(
            self.name.replace("_", "").isalnum(),
            f"features: the name {self.name!r} needs letters, digits and '_'",
        )

    @property
    def source(self) -> str:
        """The raw column's name."""
        return self.column or self.name


@dataclasses.dataclass(frozen=True)
class Categorical(Transform):
    """Text → int32 id in a vocabulary of the train split's values.

    The most frequent value is first; equally frequent ones are in the order of their FarmHash
    Fingerprint64, then of their UTF-8 bytes. Missing: 0.
    """

    min_count: int = 1
    """Values seen less often in training are out of vocabulary."""
    max_values: int | None = None
    """Keep the most frequent values only."""
    oov_buckets: int = 1
    """Ids that values out of the vocabulary share, by FarmHash Fingerprint64 modulo this. Bucket 0
    is OUT_OF_VOCABULARY, the further ones follow the vocabulary's last id."""
    many: bool = False
    """The value is a list: ids are ragged. Text is divided at `separator`; a column of lists is
    taken as it is. Empty parts are dropped; of a missing value no ids are left."""
    separator: str = "|"
    """What divides the parts of a list."""

    def __post_init__(self):
        super().__post_init__()
        _check_vocabulary(self.name, self.min_count, self.max_values, self.oov_buckets)
        check(bool(self.separator), f"{self.name}.separator is empty; give some text")


@dataclasses.dataclass(frozen=True)
class Hashed(Transform):
    """Text → int32 id = 2 + FarmHash Fingerprint64 modulo `buckets`. For huge sets of values.

    Missing: 0.
    """

    buckets: int = 1 << 16
    """Ids to spread the values over."""
    many: bool = False
    """The value is a list: ids are ragged (see Categorical.many)."""
    separator: str = "|"
    """What divides the parts of a list."""

    def __post_init__(self):
        super().__post_init__()
        check(
            1 <= self.buckets <= LARGEST_ID - 2,
            f"{self.name}.buckets is {self.buckets}; give 1 to {LARGEST_ID - 2}",
        )
        check(bool(self.separator), f"{self.name}.separator is empty; give some text")


@dataclasses.dataclass(frozen=True)
class Text(Transform):
    """Text → ragged int32 ids of its first tokens, in a vocabulary of those of the train split.

    The vocabulary's order is that of Categorical's. Of a missing value no ids are left.
    """

    tokenizer: Tokenizer = Words()
    """How text is cut."""
    max_tokens: int = 32
    """Tokens that are kept."""
    min_count: int = 1
    """Tokens seen less often in training are out of vocabulary."""
    max_values: int | None = None
    """Keep the most frequent tokens only."""
    oov_buckets: int = 1
    """As for Categorical."""

    def __post_init__(self):
        super().__post_init__()
        check(self.max_tokens >= 1, f"{self.name}.max_tokens is {self.max_tokens}; give 1 or more")
        _check_vocabulary(self.name, self.min_count, self.max_values, self.oov_buckets)


@dataclasses.dataclass(frozen=True)
class Pixels(Transform):
    """Pixels → uint8 [size], as they are; missing: zeros. For images, row by row."""

    size: int = 784
    """Numbers of an image: height × width × channels."""

    def __post_init__(self):
        super().__post_init__()
        check(self.size >= 1, f"{self.name}.size is {self.size}; give 1 or more")


@dataclasses.dataclass(frozen=True)
class Numeric(Transform):
    """Number → float32.

    none: x. log: sign(x) · log(1 + |x|). standard: (x − mean) / deviation, both of the train
    split (deviation 1 where all values are equal). log_standard: log first, then standard. Computed
    in float64, the result is rounded like a number. Missing: `missing`, after scaling.
    """

    scale: Literal["none", "standard", "log", "log_standard"] = "standard"
    """What is done with the number."""
    missing: float = 0.0
    """What stands for a missing number; 0 is the mean where the scale is standard."""

    def __post_init__(self):
        super().__post_init__()
        check(math.isfinite(self.missing), f"{self.name}.missing is {self.missing}; give a number")


@dataclasses.dataclass(frozen=True)
class Quantiles(Transform):
    """Number → int32 id of its quantile bucket: 1 + how many boundaries are ≤ x; missing: 0.

    With n numbers in the train split, boundary i is the one of rank floor(i · n / buckets) + 1,
    from beam/statistics/quantiles.py, hence exact up to some thousand distinct numbers.
    """

    buckets: int = 10
    """Buckets of about equal size in the train split; fewer where boundaries coincide."""

    def __post_init__(self):
        super().__post_init__()
        check(self.buckets >= 2, f"{self.name}.buckets is {self.buckets}; give 2 or more")


@dataclasses.dataclass(frozen=True)
class Cyclical(Transform):
    """Time → float32 [2]: sine and cosine of its place in the period; missing: (0, 0).

    Days begin at midnight UTC, weeks on Monday; a year has 365.2425 days, the first began in 1970.
    """

    period: Literal["day", "week", "year"] = "day"
    """What the time is a part of."""
    time_unit: str = "auto"
    """What the column is written in, as data.columns.time_unit; of the events' time itself that
    counts."""

    def __post_init__(self):
        super().__post_init__()
        check_time_unit(f"{self.name}.time_unit", self.time_unit)

    @property
    def length(self) -> int:
        """Of the period, in microseconds."""
        return {"day": _DAY, "week": 7 * _DAY, "year": 365_2425 * _DAY // 10_000}[self.period]

    @property
    def place(self) -> int:
        """Of 1970's first moment in its period, in microseconds. The day was a Thursday."""
        return 3 * _DAY if self.period == "week" else 0


@dataclasses.dataclass(frozen=True)
class Gap(Transform):
    """Time of the user's events → float32 log(1 + seconds since the one before); the first: 0."""


@dataclasses.dataclass(frozen=True)
class Label(Transform):
    """Number → float32 label of a ranking row: 1 where it is above `above`, else 0.

    A missing number is an error of the row, which is rejected. Not an input of the served model.
    """

    above: float | None = None
    """Threshold, rounded to float32 like the number; None: the number itself is the label."""


def kind(transform: Transform) -> Kind:
    """What a transform reads."""
    if isinstance(transform, Categorical | Hashed | Text):
        return "text"
    if isinstance(transform, Pixels):
        return "pixels"
    return "time" if isinstance(transform, Cyclical | Gap) else "number"


def is_ragged(transform: Transform) -> bool:
    """Whether an example has a list of ids."""
    return isinstance(transform, Text) or (
        isinstance(transform, Categorical | Hashed) and transform.many
    )


def has_vocabulary(transform: Transform) -> bool:
    """Whether ids are rows of a vocabulary."""
    return isinstance(transform, Categorical) or (
        isinstance(transform, Text) and not isinstance(transform.tokenizer, Bytes)
    )


def _check_vocabulary(name: str, min_count: int, max_values: int | None, oov_buckets: int) -> None:
    check(min_count >= 1, f"{name}.min_count is {min_count}; give 1 or more")
    check(max_values is None or max_values >= 1, f"{name}.max_values is {max_values}; give 1 up")
    check(
        1 <= oov_buckets <= LARGEST_ID // 2,
        f"{name}.oov_buckets is {oov_buckets}; give 1 to {LARGEST_ID // 2}",
    )
