"""Collectives of a compiled program: kind, mesh axes, and the bytes that each device sends."""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

from framework import hlo

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)
DCN = {
    "ALL_REDUCE": "all-reduce",
    "ALL_GATHER": "all-gather",
    "REDUCE_SCATTER": "reduce-scatter",
    "ALL_TO_ALL": "all-to-all",
    "ONE_TO_ONE": "collective-permute",
}
"""Transfer type of a send between slices → kind."""


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective instruction.

    Attributes:
      kind: one of KINDS.
      axes: the mesh axes that its groups extend over; ("?",) for groups that are no axes.
      group: devices in one group.
      array: the largest array that a device puts in, e.g. "f32[512,64]".
      bytes: that a device puts in, in one run.
      times: how often it runs in one step.
      network: "ici", or "dcn" between slices.
      source: where it comes from: JAX's path of the operation.
    """

    kind: str
    axes: tuple[str, ...]
    group: int
    array: str
    bytes: int
    times: float
    network: str
    source: str

    @property
    def wire_bytes(self) -> float:
        """Bytes that one device sends in one step (see `wire_bytes`)."""
        return self.times * wire_bytes(self.kind, self.bytes, self.group)


def wire_bytes(kind: str, operand: float, group: int) -> float:
    """Bytes that each of `group` devices sends when each puts in `operand` bytes.

    The optimum, which rings reach (Chan et al. 2007, doi:10.1002/cpe.1206): all-gather n−1 times
    the operand, reduce-scatter (n−1)/n, all-reduce both of these, 2(n−1)/n; all-to-all (n−1)/n, as
    one part stays; a permute or a broadcast the operand itself. A ragged all-to-all counts as if
    all of the operand were sent: an upper bound.
    """
    away = (group - 1) / group
    match kind:
        case "all-gather":
            return operand * (group - 1)
        case "all-reduce":
            return 2 * operand * away
        case "reduce-scatter" | "all-to-all":
            return operand * away
    return operand if group > 1 else 0.0


def find(module: hlo.Module, mesh: Mapping[str, int]) -> tuple[Collective, ...]:
    """The collectives of a program compiled for a mesh, in the order of the text.

    Args:
      module: the program, as one device runs it.
      mesh: axis → size, in the order of the mesh (`mesh.shape`); the program's device i is the
        mesh's i-th.
    """
    found = []
    seen: set[tuple[str, ...]] = set()
    for computation, instruction, times in module.walk():
        kind = instruction.opcode.removesuffix("-start")
        network = "ici"
        if instruction.opcode == "send" and "_xla_megascale_transfer_type" in instruction.attributes:
            kind, network = _between_slices(instruction), "dcn"
        if kind not in KINDS:
            continue
        # An asynchronous collective that is spread over several fusions appears in each of them.
        if piece := _piece(computation, instruction):
            if piece in seen:
                continue
            seen.add(piece)
        operands = module.operands(computation, instruction)
        if network == "dcn":
            operands = operands[:1]
            axes, group = _slices(instruction, mesh)
        else:
            groups = device_groups(instruction, math.prod(mesh.values()))
            axes, group = axes_of(groups, mesh), max(map(len, groups))
        if instruction.opcode == "collective-permute":
            operands = operands[:1]
        found.append(
            Collective(
                kind=kind,
                axes=axes,
                group=group,
                array=str(max(operands, key=lambda array: array.bytes)),
                bytes=sum(array.bytes for array in operands),
                times=times,
                network=network,
                source=instruction.source,
            )
        )
    return tuple(found)


def total(collectives: Iterable[Collective]) -> dict[tuple[str, str, str], float]:
    """Bytes that one device sends in one step, by (network, kind, axes), the most first."""
    table: dict[tuple[str, str, str], float] = {}
    for each in collectives:
        key = (each.network, each.kind, "·".join(each.axes))
        table[key] = table.get(key, 0) + each.wire_bytes
    return dict(sorted(table.items(), key=lambda row: -row[1]))


def device_groups(instruction: hlo.Instruction, devices: int) -> list[list[int]]:
    """The groups of devices, by their number in the mesh.

    Reads `replica_groups` as a list ({{0,1},{2,3}}) or in iota form ([2,2]<=[2,2]T(1,0): the
    numbers reshaped, transposed and cut into rows), and `source_target_pairs`.
    """
    if pairs := instruction.attribute("source_target_pairs"):
        return [group for group in _lists(pairs) if group[0] != group[1]] or [[0]]
    text = instruction.attribute("replica_groups") or "{}"
    iota = re.search(
        r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", instruction.attributes
    )
    if iota:
        shape, source, order = (
            tuple(map(int, part.split(","))) if part else None for part in iota.groups()
        )
        assert shape and source
        numbers = np.arange(math.prod(source)).reshape(source)
        return numbers.transpose(order).reshape(shape).tolist()
    return _lists(text) or [list(range(devices))]


def axes_of(groups: list[list[int]], mesh: Mapping[str, int]) -> tuple[str, ...]:
    """The mesh axes along which the devices of a group differ.

    ("?",) where some group is not the whole of those axes; for a permute's pairs it need not be.
    """
    sizes = tuple(mesh.values())
    places = [np.array(np.unravel_index(group, sizes)) for group in groups]
    differ = [
        axis
        for at, axis in enumerate(mesh)
        if any(len(set(place[at].tolist())) > 1 for place in places)
    ]
    whole = math.prod(mesh[axis] for axis in differ)
    if all(len(group) == whole for group in groups) or all(len(group) <= 2 for group in groups):
        return tuple(differ)
    return ("?",)


def _between_slices(instruction: hlo.Instruction) -> str:
    kind = re.search(r'_xla_megascale_transfer_type="(\w+)"', instruction.attributes)
    return DCN.get(kind.group(1) if kind else "", "collective-permute")


def _slices(instruction: hlo.Instruction, mesh: Mapping[str, int]) -> tuple[tuple[str, ...], int]:
    """The axes and slices that a transfer goes over: "{1,2}x{0:15}" names slices and devices."""
    target = re.search(r'_xla_megascale_target="\{([\d,:]+)\}', instruction.attributes)
    if target:
        count = 0
        for part in target.group(1).split(","):
            first, _, last = part.partition(":")
            count += int(last or first) - int(first) + 1
        return (next(iter(mesh)),), count
    return (next(iter(mesh)),), 2


def _piece(computation: str, instruction: hlo.Instruction) -> tuple[str, ...] | None:
    if "async_collective" not in computation:
        return None
    return (
        instruction.attribute("channel_id") or instruction.name,
        instruction.opcode,
        ",".join(map(str, instruction.results)),
    )


def _lists(text: str) -> list[list[int]]:
    return [
        list(map(int, numbers.split(","))) for numbers in re.findall(r"\{([\d,]+)\}", text)
    ]
