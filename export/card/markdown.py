"""A card as Markdown: what it says is text wherever it comes from, and never markup."""

import re
from collections.abc import Iterator

from podway.export.card.content import Block, Card, Code, Facts, Figures, Words
from podway.framework.page.table import Table

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&$])")
_MEANS = re.compile(r"([\\`*_\[\]<>|~&$])")


def render(card: Card) -> str:
    """The text of card.md."""
    lines = [f"# {escape(card.title)}", "", escape(card.about), ""]
    for section in card.sections:
        lines += [f"## {escape(section.title)}", ""]
        for block in section.blocks:
            lines += _lines(block)
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Text that shows as it is, on one line."""
    line = " ".join(text.split())
    first = _MARKUP.sub(r"\\\1", line[:1])
    return first + _MEANS.sub(r"\\\1", line[1:])


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Words():
            yield f"*{escape(block.text)}*" if block.missing else escape(block.text)
            yield ""
        case Facts():
            yield from (f"- {escape(name)}: {escape(value)}" for name, value in block.pairs)
            yield ""
        case Code():
            longest = max((len(run) for run in re.findall("`+", block.text)), default=0)
            fence = "`" * max(3, longest + 1)
            yield from (f"{fence}{block.language}", block.text.rstrip(), fence, "")
        case Table():
            yield _row([name or " " for name in block.head])
            yield "|" + " --- |" * len(block.head)
            yield from (_row([cell.text for cell in row]) for row in block.rows)
            yield ""
        case Figures():
            return


def _row(texts: list[str]) -> str:
    return "| " + " | ".join(escape(text) or " " for text in texts) + " |"
