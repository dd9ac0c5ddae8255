"""Where the memory of a compiled step goes: state, activations, workspace, largest arrays."""

import dataclasses
import itertools
import re
from typing import Any

from podway.framework.preflight import hlo, work

_ALIASES = ("bitcast", "optimization-barrier", "opt-barrier")
_COPIES = ("copy", "copy-start", "copy-done")
_NOT_COMPUTED = ("parameter", "constant", "tuple", "get-tuple-element", "while", *_ALIASES)


@dataclasses.dataclass(frozen=True)
class Usage:
    """Bytes of one device while a program runs.

    Attributes:
      limit: what the device has for programs.
      needed: the sum of `parts`; at least, where `complete` is false.
      parts: name → bytes, in the order of the report.
      complete: false where the compiler gave up; parts then lack what it did not say.
    """

    limit: int
    needed: int
    parts: dict[str, int]
    complete: bool = True

    @property
    def fits(self) -> bool:
        """Whether it fits."""
        return self.complete and self.needed <= self.limit

    @property
    def missing(self) -> int:
        """Bytes that are too many; 0 where it fits."""
        return max(0, self.needed - self.limit)


@dataclasses.dataclass(frozen=True)
class Held:
    """One array in a device's memory.

    Attributes:
      name: a state's path, or where the program computes it.
      shape: type and shape; of a state's array over all devices, of a temporary on one.
      split: along which mesh axes a state's array is split; "" for a temporary.
      bytes: on one device.
    """

    name: str
    shape: str
    split: str
    bytes: int


def of_program(
    compiled: Any, module: hlo.Module, state: dict[str, int], resident: int, limit: int
) -> Usage:
    """The memory of a program that was compiled.

    Args:
      compiled: a jax.stages.Compiled.
      module: its HLO.
      state: bytes of the state on one device, by part; all or some are arguments of the program.
      resident: bytes of these that are arguments.
      limit: what the device has.
    """
    stats = compiled.memory_analysis()
    kept = min(activations(module), stats.temp_size_in_bytes)
    parts = dict(state)
    parts["batch and padding"] = max(0, stats.argument_size_in_bytes - resident)
    parts["outputs"] = max(0, stats.output_size_in_bytes - stats.alias_size_in_bytes)
    parts["activations kept for the backward pass"] = kept
    parts["workspace"] = stats.temp_size_in_bytes - kept
    parts["program"] = stats.generated_code_size_in_bytes
    parts = {name: size for name, size in parts.items() if size}
    return Usage(limit, sum(parts.values()), parts)


def of_failure(error: Exception, state: dict[str, int], limit: int) -> Usage | None:
    """The memory of a program that the compiler gave up on; None for any other error."""
    text = str(error)
    if "RESOURCE_EXHAUSTED" not in text and "HbmOom" not in text:
        return None
    found = re.search(r"Used ([\d.]+[KMGT]?) of ([\d.]+[KMGT]?) hbm", text)
    found = found or re.search(
        r"HLO temporaries \(([\d.]+[KMGT]?)\) exceeds available HBM \(([\d.]+[KMGT]?)\)", text
    )
    total, parts = sum(state.values()), dict(state)
    if not found:
        return Usage(limit, total, parts, complete=False)
    said, limit = _bytes(found.group(1)), _bytes(found.group(2))
    # The compiler says either the whole or, where these alone are too many, the temporaries.
    parts["temporaries"] = said if "HLO temporaries (" in text else max(0, said - total)
    return Usage(limit, sum(parts.values()), parts, complete=False)


def activations(module: hlo.Module) -> int:
    """Bytes that the forward pass keeps for the backward pass, when they are most.

    In each scheduled computation: arrays that it computes outside the backward pass (which JAX
    names "transpose(…)") and uses in it, from where they are computed to their last use; the most
    of these at one time. The computation with the most counts.
    """
    return max((_kept(module, name) for name in work.scheduled(module)), default=0)


def largest(module: hlo.Module, count: int) -> list[Held]:
    """The largest arrays that a program computes and keeps in the device's memory."""
    found: dict[tuple[str, str], Held] = {}
    for computation in work.scheduled(module):
        instructions = module.computations[computation]
        for instruction in instructions.values():
            if instruction.opcode in _NOT_COMPUTED or instruction.opcode.endswith("-start"):
                continue
            origin = instruction
            while origin.opcode in _COPIES:
                origin = instructions[origin.operands[0]]
            # A copy counts where it is what leaves the chip.
            if origin is not instruction and not all(result.on_chip for result in origin.results):
                continue
            name = origin.source or origin.name
            for array in instruction.results:
                if not array.on_chip:
                    found[name, str(array)] = Held(name, str(array), "", array.padded_bytes)
    return sorted(found.values(), key=lambda held: -held.bytes)[:count]


def _kept(module: hlo.Module, computation: str) -> int:
    instructions = module.computations[computation]
    order = {name: at for at, name in enumerate(instructions)}
    backward = {name for name in order if _backward(module, instructions[name])}
    ends: dict[tuple[str, int], int] = {}
    sizes: dict[tuple[str, int], int] = {}
    for name in order:
        if name not in backward:
            continue
        for operand in instructions[name].operands:
            for buffer, array in _buffers(module, computation, operand):
                if buffer[0] not in backward and not array.on_chip:
                    ends[buffer] = max(ends.get(buffer, 0), order[name])
                    sizes[buffer] = array.padded_bytes
    changes = [0] * (len(order) + 1)
    for buffer, end in ends.items():
        changes[order[buffer[0]]] += sizes[buffer]
        changes[end + 1] -= sizes[buffer]
    return max(itertools.accumulate(changes), default=0)


def _backward(module: hlo.Module, instruction: hlo.Instruction) -> bool:
    if "transpose(" in instruction.source:
        return instruction.opcode not in ("parameter", "constant", "get-tuple-element", "tuple")
    return instruction.opcode in ("while", "fusion", "call") and any(
        _backward(module, inner)
        for called in instruction.called
        for inner in module.computations[called].values()
    )


def _buffers(
    module: hlo.Module, computation: str, name: str, index: int | None = None
) -> list[tuple[tuple[str, int], hlo.Array]]:
    """The buffers behind a value, or one element of a tuple: (instruction, element) and array.

    What comes into the computation from outside (parameters, constants) is left out.
    """
    instructions = module.computations[computation]
    instruction = instructions[name]
    match instruction.opcode:
        case "parameter" | "constant":
            return []
        case "get-tuple-element":
            at = int(instruction.attribute("index") or 0)
            return _buffers(module, computation, instruction.operands[0], at)
        case "tuple":
            chosen = (
                instruction.operands if index is None else instruction.operands[index : index + 1]
            )
            return [each for name in chosen for each in _buffers(module, computation, name)]
        case opcode if opcode in _ALIASES:
            return _buffers(module, computation, instruction.operands[0], index)
        case "while" if index is not None and _passes_through(module, instruction, index):
            return _buffers(module, computation, instruction.operands[0], index)
    whole = [((name, at), array) for at, array in enumerate(instruction.results)]
    return whole if index is None else whole[index : index + 1]


def _passes_through(module: hlo.Module, loop: hlo.Instruction, index: int) -> bool:
    """Whether a loop hands an element of its tuple on as it got it."""
    body = module.computations[str(loop.attribute("body")).lstrip("%")]
    root = next(instruction for instruction in body.values() if instruction.root)
    if root.opcode != "tuple":
        return False
    last = body[root.operands[index]]
    return (
        last.opcode == "get-tuple-element"
        and last.attribute("index") == str(index)
        and body[last.operands[0]].opcode == "parameter"
    )


def _bytes(text: str) -> int:
    """ "16.79G" as the compiler means it: powers of 1,024."""
    unit = text[-1] if text[-1] in "KMGT" else ""
    return int(float(text.removesuffix(unit)) * 1024 ** " KMGT".index(unit or " "))
