"""Work of a compiled program on one device: FLOPs of its products, bytes to and from memory."""

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from podway.framework.preflight import hlo

_FREE = {
    "after-all",
    "async-done",
    "async-start",
    "async-update",
    "bitcast",
    "call",
    "conditional",
    "constant",
    "copy-done",
    "get-tuple-element",
    "iota",
    "opt-barrier",
    "parameter",
    "partition-id",
    "replica-id",
    "tuple",
    "while",
}
"""They move nothing themselves: names, control, or counted where they start."""

_PASSING = ("bitcast", "reshape", "convert", "copy", "transpose")


@dataclasses.dataclass(frozen=True)
class Piece:
    """One scheduled instruction and what it costs in one step.

    Attributes:
      instruction: a fusion, product, collective, …
      times: how often it runs in one step.
      flops: of its products, all runs together.
      dtype: of its products: "bf16", "f32", "int8" or "fp8".
      bytes: to and from the device's memory, all runs together.
    """

    instruction: hlo.Instruction
    times: float
    flops: float
    dtype: str
    bytes: float


def pieces(module: hlo.Module) -> Iterator[Piece]:
    """What a device runs one after another."""
    for computation in scheduled(module):
        times = module.runs[computation]
        for instruction in module.computations[computation].values():
            if not times or instruction.opcode in _FREE:
                continue
            flops, dtype = _flops(module, computation, instruction)
            moved = _bytes(module, computation, instruction)
            if flops or moved:
                yield Piece(instruction, times, times * flops, dtype, times * moved)


def flops(module: hlo.Module) -> float:
    """FLOPs of all products in one step on one device, recomputation included."""
    return sum(piece.flops for piece in pieces(module))


def scheduled(module: hlo.Module) -> list[str]:
    """The computations whose instructions run one by one: the entry, loops and branches."""
    order, found = [module.entry], {module.entry}
    for name in order:
        for instruction in module.computations[name].values():
            if instruction.opcode in ("while", "conditional", "call", "async-start"):
                new = [
                    computation for computation in instruction.called if computation not in found
                ]
                order += new
                found.update(new)
    return order


def _flops(module: hlo.Module, computation: str, instruction: hlo.Instruction) -> tuple[float, str]:
    if instruction.opcode in ("dot", "convolution"):
        operands = module.operands(computation, instruction)
        count = _dot if instruction.opcode == "dot" else _convolution
        return count(instruction, *operands[:2]), _kind(operands[0], operands[1])
    if "__cublas$" in instruction.attributes:
        left, right = module.operands(computation, instruction)[:2]
        return _gemm(instruction, left), _kind(left, right)
    if "__cudnn$fmha" in instruction.attributes:
        return _attention(instruction, *module.operands(computation, instruction)[:2])
    total, dtype = 0.0, "bf16"
    if instruction.opcode == "fusion":
        for called in instruction.called:
            for inner in module.computations[called].values():
                flops, kind = _flops(module, called, inner)
                total, dtype = total + flops, kind if flops else dtype
    return total, dtype


def _gemm(instruction: hlo.Instruction, left: hlo.Array) -> float:
    """cuBLAS', whose dimensions are in the call's configuration; behind its result is workspace."""
    contracted = re.search(r'"lhs_contracting_dimensions":\[([^\]]*)\]', instruction.attributes)
    axes = re.findall(r"\d+", contracted[1]) if contracted else []
    depth = math.prod(left.dims[int(axis)] for axis in axes)
    return 2.0 * depth * math.prod(instruction.results[0].dims)


def _attention(instruction: hlo.Instruction, query: hlo.Array, key: hlo.Array) -> tuple[float, str]:
    """cuDNN's: two products, five in its backward pass; of a causal mask half is left out."""
    batch, queries, heads, width = query.dims
    products = 5 if "Backward" in instruction.attributes else 2
    seen = 0.5 if "CAUSAL" in instruction.attributes else 1.0
    count = products * seen * 2.0 * batch * heads * queries * key.dims[1] * width
    return count, _kind(query, key)


def _kind(left: hlo.Array, right: hlo.Array) -> str:
    bits = min(left.bits, right.bits)
    if bits <= 8:
        return "fp8" if left.dtype.startswith("f8") else "int8"
    return "bf16" if bits == 16 else "f32"


def _dot(instruction: hlo.Instruction, left: hlo.Array, right: hlo.Array) -> float:
    contracted = re.findall(r"\d+", instruction.attribute("lhs_contracting_dims") or "")
    depth = math.prod(left.dims[int(axis)] for axis in contracted)
    return 2.0 * depth * math.prod(instruction.results[0].dims)


def _convolution(instruction: hlo.Instruction, left: hlo.Array, right: hlo.Array) -> float:
    """The TPU writes every product as a convolution, batches as dilated windows.

    Only places where the window meets an element count.
    """
    labels = instruction.attribute("dim_labels") or ""
    inputs, rest = labels.split("_")
    kernel, outputs = rest.split("->")
    window = instruction.attributes.partition("window={")[2].partition("}")[0]
    fields = dict(field.split("=") for field in window.split())
    rank = sum(label.isdigit() for label in outputs)

    def per_axis(name: str, default: str) -> list[str]:
        return fields.get(name, "x".join([default] * rank)).split("x")

    sizes = [int(size) for size in per_axis("size", "1")] if rank else []
    result = instruction.results[0].dims
    count = 2.0 * right.dims[kernel.index("i")]
    count *= math.prod(result[outputs.index(label)] for label in "bf")
    for axis in range(rank):
        stride, lhs, rhs = (
            int(per_axis(name, "1")[axis]) for name in ("stride", "lhs_dilate", "rhs_dilate")
        )
        low = int(per_axis("pad", "0_0")[axis].partition("_")[0])
        across = np.arange(result[outputs.index(str(axis))])[:, None] * stride - low
        at = across + np.arange(sizes[axis]) * rhs
        inside = (at >= 0) & (at <= (left.dims[inputs.index(str(axis))] - 1) * lhs)
        count *= int((inside & (at % lhs == 0)).sum())
    return count


def _bytes(module: hlo.Module, computation: str, instruction: hlo.Instruction) -> float:
    """Bytes that one run reads from and writes to memory; what lies on the chip is free."""
    operands = [module.computations[computation][name].results for name in instruction.operands]
    match instruction.opcode:
        case "fusion":
            return _fusion_bytes(module, instruction, operands)
        case "custom-call" if "AllocateBuffer" in instruction.attributes:
            return 0.0
        case "dynamic-slice" | "slice":
            return 2.0 * _in_memory(instruction.results)
        case "gather":
            return 2.0 * _in_memory(instruction.results) + _in_memory(operands[1])
        case "dynamic-update-slice":
            return 2.0 * _in_memory(operands[1])
        case "scatter":
            # Reads the rows, reads the updates, writes the rows.
            return 3.0 * _in_memory(operands[-1]) + _in_memory(operands[1])
        case "slice-start" | "dynamic-slice-start":
            return instruction.results[1].padded_bytes + _in_memory(instruction.results[1:2])
        case "copy-start":
            return _in_memory(instruction.results[:1]) + _in_memory(operands[0])
        case opcode if opcode.endswith("-done"):
            return 0.0
        case opcode if opcode.endswith("-start"):
            return 2.0 * sum(map(_in_memory, operands))
    return _in_memory(instruction.results) + sum(map(_in_memory, operands))


def _in_memory(arrays: Iterable[hlo.Array]) -> float:
    return float(sum(array.padded_bytes for array in arrays if not array.on_chip))


def _fusion_bytes(
    module: hlo.Module, fusion: hlo.Instruction, operands: list[tuple[hlo.Array, ...]]
) -> float:
    """A fusion reads of an operand only what it slices or gathers, and updates in place."""
    inside = module.computations[fusion.called[0]]
    total = 0.0
    for position, arrays in enumerate(operands):
        whole = _in_memory(arrays)
        total += min(whole, _read(module, fusion, position, whole))
    root = next(instruction for instruction in inside.values() if instruction.root)
    outputs = [inside[name] for name in root.operands] if root.opcode == "tuple" else [root]
    if len(outputs) != len(fusion.results):
        return total + _in_memory(fusion.results)
    for output, array in zip(outputs, fusion.results, strict=True):
        rows = 0.0 if array.on_chip else _written_in_place(module, inside, output)
        total += rows or _in_memory((array,))
    return total


def _written_in_place(
    module: hlo.Module, inside: Mapping[str, hlo.Instruction], output: hlo.Instruction
) -> float:
    """Bytes that an output takes which is an operand with some places written; 0 for another."""
    while output.opcode in _PASSING and output.operands:
        output = inside[output.operands[0]]
    if output.opcode == "fusion":
        inside = module.computations[output.called[0]]
        root = next(instruction for instruction in inside.values() if instruction.root)
        return _written_in_place(module, inside, root)
    if output.opcode == "scatter":
        return 2.0 * _size(inside[output.operands[-1]])
    if output.opcode == "dynamic-update-slice":
        return _size(inside[output.operands[1]])
    return 0.0


def _read(module: hlo.Module, fusion: hlo.Instruction, position: int, whole: float) -> float:
    """Bytes that a fused computation reads of its operand `position`."""
    inside = module.computations[fusion.called[0]]
    pending = [
        name
        for name, instruction in inside.items()
        if instruction.opcode == "parameter" and int(instruction.literal) == position
    ]
    total = 0.0
    while pending:
        name = pending.pop()
        for user in inside.values():
            for at, operand in enumerate(user.operands):
                if operand != name:
                    continue
                if user.opcode in ("dynamic-slice", "slice", "gather") and at == 0:
                    total += _size(user)
                elif user.opcode in ("dynamic-update-slice", "scatter") and at == 0:
                    continue  # Written in place; counted with the output.
                elif user.opcode in ("bitcast", "reshape") or _is_alias(user):
                    pending.append(user.name)
                elif user.opcode == "fusion":
                    total += _read(module, user, at, whole)
                else:
                    return whole
    return total


def _is_alias(instruction: hlo.Instruction) -> bool:
    """Whether it is a fusion that only names its operand in another layout."""
    aliased = instruction.attribute("output_to_operand_aliasing") or ""
    return len(instruction.operands) == 1 and aliased.startswith("{{}: (0")


def _size(instruction: hlo.Instruction) -> float:
    return float(sum(array.padded_bytes for array in instruction.results))
