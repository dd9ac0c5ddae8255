"""Collectives of a compiled program: kind, mesh axes, and the bytes that each device sends."""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

from podway.framework.preflight import hlo

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
      group: devices in one group; slices, where they are between slices.
      members: the first group, by the devices' number in the mesh.
      array: the largest array that a device puts in, e.g. "f32[512,64]".
      bytes: that a device puts in, in one run.
      times: how often it runs in one step.
      network: "ici", or "dcn" between slices.
      source: where it comes from: JAX's path of the operation.
    """

    kind: str
    axes: tuple[str, ...]
    group: int
    members: tuple[int, ...]
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
        case "reduce-scatter" | "all-to-all" | "ragged-all-to-all":
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
    for computation, instruction, times in module.walk():
        kind, network = instruction.opcode.removesuffix("-start"), "ici"
        if kind == "send" and "_xla_megascale_transfer_type" in instruction.attributes:
            kind, network = _between_slices(instruction), "dcn"
        if kind not in KINDS:
            continue
        if kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
            # Of which each device keeps its part: how the TPU writes a reduce-scatter.
            kind = "reduce-scatter"
        if "async_collective_fusion_config" in instruction.attributes and not any(
            "AsyncCollectiveStart" in each.attributes
            for each in module.computations[computation].values()
        ):
            continue  # Spread over fusions that hide it, it is written in each; the first counts.
        operands = module.operands(computation, instruction)
        if network == "dcn":
            operands = operands[:1]
            (axes, group), members = _slices(instruction, mesh), ()
        else:
            groups = device_groups(instruction, math.prod(mesh.values()))
            members = tuple(max(groups, key=len))
            axes, group = axes_of(groups, mesh), len(members)
        if group == 1:
            continue  # Of a device with itself.
        if instruction.opcode == "collective-permute":
            operands = operands[:1]
        found.append(
            Collective(
                kind=kind,
                axes=axes,
                group=group,
                members=members,
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
    for collective in collectives:
        key = (collective.network, collective.kind, "·".join(collective.axes))
        table[key] = table.get(key, 0) + collective.wire_bytes
    return dict(sorted(table.items(), key=lambda row: -row[1]))


def device_groups(instruction: hlo.Instruction, devices: int) -> list[list[int]]:
    """The groups of devices, by their number in the mesh.

    Reads `source_target_pairs`, and `replica_groups` in its three forms: a list, {{0,1},{2,3}}; the
    numbers reshaped, transposed and cut into rows, [2,2]<=[2,2]T(1,0); and the axes of a mesh of
    XLA's own, mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'a'}.
    """
    if pairs := instruction.attribute("source_target_pairs"):
        return [group for group in _lists(pairs) if group[0] != group[1]] or [[0]]
    text = instruction.attributes
    if found := re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", text):
        shape, *numbers = found.groups()
        return _iota(*numbers).reshape(_numbers(shape)).tolist()
    if found := re.search(
        r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))?"
        r" \{([^}]*)\}",
        text,
    ):
        sizes, source, order, axes = found.groups()
        return _mesh_groups(sizes, source, order, axes)
    return _lists(instruction.attribute("replica_groups") or "") or [list(range(devices))]


def _iota(source: str, order: str | None) -> np.ndarray:
    numbers = np.arange(math.prod(_numbers(source))).reshape(_numbers(source))
    return numbers.transpose(_numbers(order)) if order else numbers


def _mesh_groups(sizes: str, source: str | None, order: str | None, axes: str) -> list[list[int]]:
    """Groups along axes of a mesh; "'a':(2)4" is the part of axis a of size 4 below one of 2."""
    names = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", sizes)}
    split: list[tuple[int, bool]] = []
    chosen = {
        name: (int(before or 1), int(size) if size else names[name])
        for name, before, size in re.findall(r"'([^']+)'(?::\((\d+)\)(\d+))?", axes)
    }
    for name, whole in names.items():
        before, size = chosen.get(name, (whole, 1))
        split += [(before, False), (size, name in chosen), (whole // (before * size), False)]
    numbers = _iota(source or str(math.prod(names.values())), order)
    numbers = numbers.reshape([size for size, _ in split])
    inside = [at for at, (_, grouped) in enumerate(split) if grouped]
    outside = [at for at in range(len(split)) if at not in inside]
    group = math.prod(split[at][0] for at in inside)
    return numbers.transpose(outside + inside).reshape(-1, group).tolist()


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
    """The axis between slices, and how many slices a transfer goes over.

    The target is "{1,2}x{0:15}" (slices × devices of each) or lists of devices, numbered
    100000 · slice + device; pairs "a->b" go over two.
    """
    text = instruction.attributes.partition("_xla_megascale_target=")[2]
    axis = (next(iter(mesh)),)
    if found := re.match(r'"\{([\d,:]+)\}x', text):
        count = 0
        for part in found.group(1).split(","):
            first, _, last = part.partition(":")
            count += int(last or first) - int(first) + 1
        return axis, count
    if found := re.match(r"\{\{([\d,]+)\}", text):
        return axis, len({number // 100_000 for number in _numbers(found.group(1))})
    return axis, 2


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _lists(text: str) -> list[list[int]]:
    return [list(_numbers(numbers)) for numbers in re.findall(r"\{([\d,]+)\}", text)]
