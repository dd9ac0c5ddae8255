"""What of a model can be left out, so that a smaller program remains, and where it lies."""

import dataclasses
from typing import Any, Literal, Protocol, Self, TypeVar, runtime_checkable

What = Literal["units", "heads", "layers"]
"""Units of feed-forward layers, attention heads, whole layers."""


@dataclasses.dataclass(frozen=True)
class Part:
    """What of a parameter belongs to the members of a group.

    Attributes:
      path: of the parameter.
      axis: along which the members follow each other; in a stack that of one layer.
      size: entries of this axis, side by side, that belong to one member.
    """

    path: str
    axis: int
    size: int = 1


@dataclasses.dataclass(frozen=True)
class Group:
    """Members of which some can be left out.

    Attributes:
      name: where they lie: of layers, the path below which these are numbered or stacked.
      count: how many there are.
      parts: what belongs to them; of layers, all that is below `name`.
      stacked: whether the parameters are of several layers, along a first axis; each layer then has
        members of its own.
    """

    name: str
    count: int
    parts: tuple[Part, ...] = ()
    stacked: bool = False


@runtime_checkable
class Shrinkable(Protocol):
    """A model of which something can be left out."""

    def groups(self, what: What) -> tuple[Group, ...]:
        """The groups of this kind; () where there are none."""
        ...

    def left(self, what: What, counts: tuple[int, ...]) -> Self:
        """The model with so many members in each of the groups."""
        ...


def transformer_groups(model: Any, what: What) -> tuple[Group, ...]:
    """Those of a model of `parts.transformer.Block`s, by its fields."""
    if what == "layers":
        return (Group("blocks", model.blocks),)
    gated = model.block_kind == "ligr"
    head = model.head_width or model.width // model.heads
    if what == "heads":
        count, outer, inner, sizes = model.heads, "qkv", "out", (3 * head, head)
    else:
        count = model.feed_forward_units or model.width * model.feed_forward
        outer, inner, sizes = "up", "down", (1 + gated, 1)
    return tuple(
        Group(
            f"blocks/{block}",
            count,
            (
                Part(f"blocks/{block}/{outer}/kernel", 1, sizes[0]),
                Part(f"blocks/{block}/{outer}/bias", 0, sizes[0]),
                Part(f"blocks/{block}/{inner}/kernel", 0, sizes[1]),
            ),
        )
        for block in range(model.blocks)
    )


M = TypeVar("M")


def smaller_transformer(model: M, what: What, counts: tuple[int, ...]) -> M:
    """The same model with so many members, as many in each block."""
    fields: Any = model
    (count,) = set(counts)
    if what == "layers":
        changes: dict[str, int] = {"blocks": count}
    elif what == "units":
        changes = {"feed_forward_units": count}
    else:
        head = fields.head_width or fields.width // fields.heads
        changes = {"heads": count, "head_width": head}
    return dataclasses.replace(fields, **changes)
