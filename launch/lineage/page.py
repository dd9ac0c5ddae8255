"""The page of a lineage: a picture of the graph, and what is known of each thing in it."""

import dataclasses
import pathlib

from etils import epath

from podway.export import layout
from podway.framework.page import table, templates
from podway.framework.report import artefacts, dataset, evaluation
from podway.framework.runs import records
from podway.launch.lineage import tree
from podway.launch.lineage.graph import KINDS, Graph, Node

_HERE = pathlib.Path(__file__).parent
_WIDTH, _HEIGHT, _GAP, _ACROSS = 250, 44, 14, 90
_LETTERS = 34
_PAGES = {
    "dataset": dataset.PAGE,
    "run": records.PAGE,
    "evaluation": evaluation.PAGE,
    "model": layout.CARD,
}


@dataclasses.dataclass(frozen=True)
class Box:
    """A thing in the picture.

    Attributes:
      x: of its left edge.
      y: of its upper one.
      colour: class of the stylesheet.
      above: what it is.
      below: which one.
      told: what hovering says.
      link: to its page; "": it has none.
      gone: whether it is no longer there.
    """

    x: float
    y: float
    colour: str
    above: str
    below: str
    told: str
    link: str
    gone: bool


def write(graph: Graph, start: list[Node], path: epath.PathLike, *, down: bool) -> None:
    """Writes the page."""
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(graph, start, path.parent, down=down))


def page(graph: Graph, start: list[Node], folder: epath.Path, *, down: bool) -> str:
    """The page as HTML; `folder` is where it will lie."""
    shown, hidden = _shown(graph)
    boxes = _boxes(shown, folder, {node.id for node in start})
    paths = [
        _path(boxes[edge.source], boxes[edge.made], edge.how)
        for edge in graph.edges
        if edge.source in boxes and edge.made in boxes
    ]
    what = ", ".join(f"{node.kind} {node.name} {tree.short(node.version)}" for node in start[:2])
    return templates.render(
        "lineage.html.j2",
        _HERE,
        title=f"Lineage of {what}",
        about="All that was made from it" if down else "All that it was made from",
        boxes=list(boxes.values()),
        paths=paths,
        width=max(box.x for box in boxes.values()) + _WIDTH + 8,
        height=max(box.y for box in boxes.values()) + _HEIGHT + 8,
        box=(_WIDTH, _HEIGHT),
        key=[
            (f"c{at}", kind, "")
            for at, kind in enumerate(KINDS)
            if any(node.kind == kind for node in shown)
        ],
        hidden=hidden,
        tables=[
            (kind, _table([node for node in graph.nodes.values() if node.kind == kind]))
            for kind in reversed(KINDS)
            if any(node.kind == kind for node in graph.nodes.values())
        ],
    )


def _shown(graph: Graph) -> tuple[list[Node], int]:
    """The things in the picture: of raw files no more than fit."""
    files = [node for node in graph.nodes.values() if node.kind == "raw file"]
    kept = set(map(id, files[: tree.SHOWN]))
    nodes = [n for n in graph.nodes.values() if n.kind != "raw file" or id(n) in kept]
    return nodes, len(files) - len(kept)


def _boxes(nodes: list[Node], folder: epath.Path, start: set[str]) -> dict[str, Box]:
    """A column for each kind that there is, from raw files on the left."""
    columns = [[node for node in nodes if node.kind == kind] for kind in KINDS]
    columns = [column for column in columns if column]
    tallest = max(map(len, columns))
    found = {}
    for at, column in enumerate(columns):
        top = (tallest - len(column)) * (_HEIGHT + _GAP) / 2
        for row, node in enumerate(column):
            found[node.id] = Box(
                x=4 + at * (_WIDTH + _ACROSS),
                y=4 + top + row * (_HEIGHT + _GAP),
                colour=f"c{KINDS.index(node.kind)}{' start' if node.id in start else ''}",
                above=_fitted(f"{node.kind} {node.name}", keep_end=node.kind == "raw file"),
                below=_fitted(f"{tree.short(node.version) or tree.UNKNOWN}{_remark(node)}"),
                told=tree.title(node),
                link=_link(node, folder),
                gone=not node.there,
            )
    return found


def _remark(node: Node) -> str:
    if not node.there:
        return " (no longer there)"
    names = node.facts.get("names", "")
    return f" ({names})" if names else ""


def _fitted(text: str, *, keep_end: bool = False) -> str:
    if len(text) <= _LETTERS:
        return text
    return f"…{text[1 - _LETTERS :]}" if keep_end else f"{text[: _LETTERS - 1]}…"


def _path(source: Box, made: Box, how: str) -> tuple[str, str, str]:
    """The line between two boxes, what it stands for, and its colour."""
    x0, y0 = source.x + _WIDTH, source.y + _HEIGHT / 2
    x1, y1 = made.x, made.y + _HEIGHT / 2
    if x1 <= source.x:  # of one kind: from edge to edge on the left
        x0 = source.x
        bend = x0 - 40
        curve = f"M{x0:.1f} {y0:.1f}C{bend:.1f} {y0:.1f} {bend:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    else:
        half = (x0 + x1) / 2
        curve = f"M{x0:.1f} {y0:.1f}C{half:.1f} {y0:.1f} {half:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    return curve, how, source.colour.split()[0]


def _link(node: Node, folder: epath.Path) -> str:
    page = _PAGES.get(node.kind)
    return artefacts.link(epath.Path(node.place) / page, folder) if page and node.there else ""


def _table(nodes: list[Node]) -> table.Table:
    names = list(dict.fromkeys(name for node in nodes for name in node.facts))
    rows = []
    for node in nodes:
        state = table.Cell("yes") if node.there else table.Cell("no", "bad")
        version = table.Cell(tree.short(node.version) or tree.UNKNOWN, told=node.version)
        facts = table.cells([node.facts.get(name, "") for name in names])
        rows.append([table.Cell(node.name, told=node.place), version, state, *facts])
    return table.Table(("name", "version", "there", *names), rows)
