"""Artefacts and raw files, and what each was made from: plain data, and walks over it."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from podway.framework.error import PodwayError

Kind = Literal["raw file", "dataset", "run", "evaluation", "model"]
KINDS: tuple[Kind, ...] = ("raw file", "dataset", "run", "evaluation", "model")
"""In the order in which the one is made from the other."""


@dataclasses.dataclass(frozen=True)
class Node:
    """An artefact, or a raw file.

    Attributes:
      kind: what it is.
      name: of the dataset or experiment; of a file its path.
      version: of the artefact; the number of a model; the hash of a file's content.
      place: its folder, or path.
      there: whether it is where it was.
      facts: what else is known, in the order in which it is said.
    """

    kind: Kind
    name: str
    version: str
    place: str
    there: bool
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def id(self) -> str:
        """Tells it from all others."""
        return identity(self.kind, self.name, self.version)


@dataclasses.dataclass(frozen=True)
class Edge:
    """That one thing was made from another.

    Attributes:
      made: id of what was made.
      source: id of what it was made from.
      how: what that is to it: "dataset", "parent", "side table".
    """

    made: str
    source: str
    how: str


@dataclasses.dataclass(frozen=True)
class Graph:
    """Things by their ids, and what was made from what."""

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]

    def sources(self, of: str) -> list[Edge]:
        """What a thing was made from."""
        return [edge for edge in self.edges if edge.made == of]

    def made(self, of: str) -> list[Edge]:
        """What was made from a thing."""
        return [edge for edge in self.edges if edge.source == of]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "nodes": [{"id": node.id, **dataclasses.asdict(node)} for node in self.nodes.values()],
            "edges": [dataclasses.asdict(edge) for edge in self.edges],
        }


def identity(kind: str, name: str, version: str) -> str:
    """See Node.id."""
    return f"{kind} {name} {version}".rstrip()


def around(graph: Graph, start: Iterable[str], *, down: bool) -> Graph:
    """Some things, and all that they were made from, however far; `down`: all made from them."""
    beside: dict[str, list[str]] = collections.defaultdict(list)
    for edge in graph.edges:
        one, other = (edge.source, edge.made) if down else (edge.made, edge.source)
        beside[one].append(other)
    seen, waiting = dict[str, None](), list(start)
    while waiting:
        each = waiting.pop(0)
        if each not in seen:
            seen[each] = None
            waiting += beside[each]
    edges = tuple(edge for edge in graph.edges if edge.made in seen and edge.source in seen)
    return Graph({each: graph.nodes[each] for each in seen}, edges)


def find(graph: Graph, wanted: str) -> list[Node]:
    """The things that a text names: by folder, path, version, hash, or the beginning of one.

    A raw file may have had several contents: all of them. Raises PodwayError: there is none, or it
    may be one of several.
    """
    nodes = list(graph.nodes.values())
    exact = [node for node in nodes if wanted in (node.id, node.place, node.version)]
    files = [node for node in nodes if node.kind == "raw file" and _names(node, wanted)]
    begun = [node for node in nodes if len(wanted) >= 6 and node.version.startswith(wanted)]
    for found in (exact, files, begun):
        if found and (len(found) == 1 or all(node.kind == "raw file" for node in found)):
            return found
        if found:
            which = ", ".join(node.place for node in found[:4])
            raise PodwayError(f"{wanted!r} may be any of {which}; give its folder")
    raise PodwayError(
        f"{wanted!r} is nothing of this workdir: give the folder of an artefact, its version,"
        " MODEL:VERSION, or the path of a raw file, or its hash; `podway board` lists what there is"
    )


def _names(node: Node, wanted: str) -> bool:
    """Whether a raw file is meant: by its path, from wherever that is given."""
    pairs = ((node.name, wanted), (wanted, node.name))
    return any(one == other or one.endswith(f"/{other.lstrip('./')}") for one, other in pairs)
