"""A graph as lines of text: what a thing was made from below it, step by step."""

from collections.abc import Iterator

from podway.launch.lineage.graph import Graph, Node

SHOWN = 12
"""Raw files of a dataset that are listed; JSON has them all."""
UNKNOWN = "hash not kept by itself"
"""Of a side table, in a manifest of earlier days: its hash is part of that of all raw data."""
_HASH = 16


def lines(graph: Graph, start: Node, *, down: bool) -> Iterator[str]:
    """The thing, and below it what it was made from; `down`: what was made from it."""
    yield title(start)
    yield from _below(graph, start.id, "", {start.id}, down)


def title(node: Node) -> str:
    """A thing in a line."""
    gone = "" if node.there else "  (no longer there)"
    if node.kind == "raw file":
        return f"raw file {node.name}  {short(node.version) or UNKNOWN}{gone}"
    facts = ", ".join(f"{name} {text}" for name, text in node.facts.items() if name in _SAID)
    return f"{node.kind} {node.name} {node.version}{f'  {facts}' if facts else ''}{gone}"


_SAID = ("names", "served", "model", "state", "steps", "seed", "events", "users", "commit", "made")
"""Facts that fit into a line."""


def short(version: str) -> str:
    """A hash as people compare it."""
    return f"sha256 {version[:_HASH]}…" if len(version) == 64 else version


def _below(graph: Graph, of: str, indent: str, seen: set[str], down: bool) -> Iterator[str]:
    edges = graph.made(of) if down else graph.sources(of)
    files = [edge for edge in edges if graph.nodes[edge.source].kind == "raw file" and not down]
    hidden = len(files) - SHOWN if len(files) > SHOWN + 1 else 0
    left_out = set(files[SHOWN:]) if hidden else set()
    shown = [edge for edge in edges if edge not in left_out]
    for at, edge in enumerate(shown):
        other = edge.made if down else edge.source
        last = at == len(shown) - 1 and not hidden
        how = "" if edge.how == graph.nodes[edge.source].kind else f"{edge.how}: "
        again = other in seen and bool(graph.made(other) if down else graph.sources(other))
        more = "  (as above)" if again else ""
        yield f"{indent}{'└─' if last else '├─'} {how}{title(graph.nodes[other])}{more}"
        if not again:
            seen.add(other)
            yield from _below(graph, other, f"{indent}{'   ' if last else '│  '}", seen, down)
    if hidden:
        yield f"{indent}└─ … and {hidden:,} more raw files"
