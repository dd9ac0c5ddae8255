"""What a card says, as sections of blocks, which both its renderings show."""

import dataclasses
from collections.abc import Sequence

import markupsafe

from podway.framework.page.table import Table


@dataclasses.dataclass(frozen=True)
class Words:
    """A paragraph; `missing` where it stands for something that nobody has written yet."""

    text: str
    missing: bool = False


@dataclasses.dataclass(frozen=True)
class Facts:
    """Names and values."""

    pairs: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Code:
    """A program's text, and its language."""

    text: str
    language: str = ""


@dataclasses.dataclass(frozen=True)
class Figures:
    """Charts, which plain text leaves out."""

    drawn: Sequence[markupsafe.Markup]


Block = Words | Facts | Code | Figures | Table


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a card, with a heading."""

    title: str
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True)
class Card:
    """A card."""

    title: str
    about: str
    sections: Sequence[Section]
