"""Values that look like one thing written in several ways: "Foo", "foo " and "FOO"."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa

SHOWN = 3
"""Groups that are remembered."""

_MISSING = ("null", "none", "nil", "na", "n/a", "nan", "\\n", "undefined", "unknown", "-", "?")
PLACEHOLDERS = ["NaN", *{way(one) for one in _MISSING for way in (str, str.upper, str.title)}]
"""What stands for a missing value in many files."""

_NOT_PLAIN = np.zeros(256, bool)
_NOT_PLAIN[[*range(33), *range(ord("A"), ord("Z") + 1), *range(127, 256)]] = True


@dataclasses.dataclass(frozen=True)
class Alike:
    """Attributes:
    groups: how many things are written in several ways.
    values: in how many ways, all together.
    examples: the ways of some of them, the most frequent first.
    """

    groups: int = 0
    values: int = 0
    examples: tuple[tuple[str, ...], ...] = ()


def find(values: pl.Series, counts: pl.Series | None = None) -> Alike:
    """Of distinct values, those that differ only in case, blanks and Unicode's compatible forms.

    Args:
      values: text, distinct.
      counts: how often each occurs; None: the values come most frequent first.
    """
    if not len(values) or _is_plain(values):
        return Alike()
    key = values.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    key = key.str.normalize("NFKC")
    if key.n_unique() == len(key):
        return Alike()
    rank = pl.int_range(len(values), eager=True) if counts is None else -counts
    frame = pl.DataFrame({"key": key, "value": values, "rank": rank})
    groups = (
        frame.filter((pl.col("key") != "") & pl.col("key").is_duplicated())
        .sort("rank", "value")
        .group_by("key", maintain_order=True)
        .agg("value", pl.col("rank").first())
    )
    examples = groups.head(SHOWN)["value"].to_list()
    return Alike(len(groups), int(groups["value"].list.len().sum()), tuple(map(tuple, examples)))


def placeholders(values: pl.Series, counts: pl.Series) -> dict[str, int]:
    """Of distinct values, those that may stand for a missing one, and how often they occur."""
    like = values.is_in(PLACEHOLDERS) & (counts > 0)
    return dict(zip(values.filter(like).to_list(), counts.filter(like).to_list(), strict=True))


def _is_plain(values: pl.Series) -> bool:
    """Whether all is ASCII without capitals and blanks; a quick look, as ids mostly are."""
    content = np.frombuffer(values.to_arrow().cast(pa.large_string()).buffers()[2] or b"", np.uint8)
    return not _NOT_PLAIN[content].any()


def merge(parts: Sequence[Alike]) -> Alike:
    """Of several parts of the values; what is alike between them is not seen."""
    return Alike(
        sum(part.groups for part in parts),
        sum(part.values for part in parts),
        tuple(one for part in parts for one in part.examples)[:SHOWN],
    )
