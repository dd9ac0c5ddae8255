"""Optimised HLO text (`compiled.as_text()`), parsed: instructions, and how often each one runs.

XLA's own cost analysis counts the body of a loop once. Here a loop's trip count is read from its
condition and step, nested loops multiply, and fusions and asynchronous pieces are followed. Pure
Python on text, so it works on what any backend has compiled.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping

BITS = {"pred": 8, "token": 0, "opaque": 0}
"""Bits of the types whose name does not end in their width."""

_SHAPE = re.compile(r"([a-z]\w*)\[([^\]]*)\](?:\{([^}]*)\})?")
_HEAD = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = ")
_NAME = re.compile(r"%([\w.\-]+)")
_CALLED = re.compile(
    r"(?:calls|body|condition|to_apply|true_computation|false_computation)=%?([\w.\-]+)"
    r"|(?:branch_computations|called_computations)=\{([^}]*)\}"
)


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of an instruction's result, on one device.

    Attributes:
      dtype: HLO's name of the type, e.g. "bf16".
      dims: the shape.
      layout: what follows the shape in braces, e.g. "1,0:T(8,128)S(1)".
    """

    dtype: str
    dims: tuple[int, ...]
    layout: str = ""

    @property
    def bits(self) -> int:
        """Bits of one element."""
        digits = re.search(r"\d+", self.dtype)
        return BITS.get(self.dtype, int(digits.group()) if digits else 8)

    @property
    def bytes(self) -> int:
        """Bytes of the elements, without padding."""
        return math.prod(self.dims) * self.bits // 8

    @property
    def padded_bytes(self) -> int:
        """Bytes in memory: the two innermost dimensions are rounded up to the TPU's tile."""
        tile = re.search(r"T\(([\d,]+)\)", self.layout)
        order = self.layout.partition(":")[0]
        if not tile or not order or not self.dims:
            return self.bytes
        sizes = [int(size) for size in tile.group(1).split(",")]
        dims = [self.dims[int(at)] for at in order.split(",")]
        dims += [1] * (len(sizes) - len(dims))
        for at, size in enumerate(reversed(sizes)):
            dims[at] = -(-dims[at] // size) * size
        return math.prod(dims) * self.bits // 8

    @property
    def on_chip(self) -> bool:
        """Whether it lies in the TPU's vector memory (memory space 1), not in HBM."""
        return "S(" in self.layout

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.dims))}]"


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
      name: unique in the module.
      opcode: e.g. "all-gather".
      results: the arrays of its result, tuples flattened.
      operands: names of instructions of the same computation.
      attributes: the text behind the operands.
      literal: the text between the parentheses: a constant's value, a parameter's number.
      root: whether its result is that of its computation.
    """

    name: str
    opcode: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    attributes: str
    literal: str
    root: bool

    @functools.cached_property
    def called(self) -> tuple[str, ...]:
        """Names of the computations that it runs."""
        names: list[str] = []
        for one, many in _CALLED.findall(self.attributes):
            names += [one] if one else [name.strip(" %") for name in many.split(",")]
        return tuple(names)

    def attribute(self, name: str) -> str | None:
        """The value of an attribute, braces and brackets included."""
        found = re.search(rf"\b{name}=(\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}}|[^\s,]+)", self.attributes)
        return found.group(1) if found else None

    @property
    def source(self) -> str:
        """Where it comes from: JAX's path of the operation, "" if XLA made it."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found.group(1) if found else ""


Computation = Mapping[str, Instruction]
"""Instructions by name, in the order of the schedule."""


@dataclasses.dataclass(frozen=True)
class Module:
    """A compiled program, as one device runs it.

    Attributes:
      computations: by name.
      entry: name of the one that runs first.
    """

    computations: dict[str, Computation]
    entry: str

    @functools.cached_property
    def runs(self) -> dict[str, float]:
        """How often each computation runs in one run of the program.

        A loop whose trip count cannot be read counts once (see `unknown_loops`). Every branch of a
        conditional counts, so that sums over them are upper bounds.
        """
        times = dict.fromkeys(self.computations, 0.0)
        times[self.entry] = 1.0
        for name in self._callers_first():
            for instruction in self.computations[name].values():
                if instruction.opcode in ("async-update", "async-done"):
                    continue  # They name the computation that async-start has run.
                trips = 1.0
                if instruction.opcode == "while":
                    trips = self.trips(name, instruction) or 1
                for called in instruction.called:
                    times[called] += times[name] * trips
        return times

    @functools.cached_property
    def unknown_loops(self) -> tuple[str, ...]:
        """Names of the loops whose trip count depends on data."""
        return tuple(
            instruction.name
            for name, computation in self.computations.items()
            for instruction in computation.values()
            if instruction.opcode == "while" and self.trips(name, instruction) is None
        )

    def walk(self) -> Iterator[tuple[str, Instruction, float]]:
        """(computation, instruction, how often it runs), for all that runs."""
        for name, times in self.runs.items():
            if times:
                for instruction in self.computations[name].values():
                    yield name, instruction, times

    def operands(self, computation: str, instruction: Instruction) -> tuple[Array, ...]:
        """The arrays that an instruction reads."""
        return tuple(
            array
            for name in instruction.operands
            for array in self.computations[computation][name].results
        )

    def trips(self, computation: str, loop: Instruction) -> int | None:
        """How often a loop's body runs; None where that depends on data.

        For loops that count: `i < n` (or another comparison) with `i` starting and growing by
        constants, which is what lax.scan and fori_loop compile to.
        """
        if known := re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes):
            return int(known.group(1))
        condition, body = (str(loop.attribute(name)).lstrip("%") for name in ("condition", "body"))
        compared = self._comparison(condition)
        if compared is None:
            return None
        direction, left, right = compared
        if not isinstance(left, str) or not self._step(body, int(left)):
            swap = {"GT": "LT", "GE": "LE", "LT": "GT", "LE": "GE"}
            direction, left, right = swap.get(direction, direction), right, left
        if not isinstance(left, str):
            return None
        initial = self._loop_value(computation, loop, int(left))
        limit = self._loop_value(computation, loop, int(right)) if isinstance(right, str) else right
        step = self._step(body, int(left))
        if initial is None or limit is None or not step:
            return None
        distance = (limit - initial) * (1 if step > 0 else -1)
        distance += direction in ("LE", "GE")
        return max(0, -(-distance // abs(step)))

    def _callers_first(self) -> list[str]:
        order: list[str] = []
        seen: set[str] = set()

        def visit(name: str) -> None:
            if name in seen:
                return
            seen.add(name)
            for instruction in self.computations[name].values():
                for called in instruction.called:
                    visit(called)
            order.append(name)

        visit(self.entry)
        return order[::-1]

    def _root(self, computation: str) -> Instruction:
        return next(
            instruction
            for instruction in self.computations[computation].values()
            if instruction.root
        )

    def _resolve(
        self, computation: str, name: str, arguments: tuple[int | str | None, ...] = ()
    ) -> int | str | None:
        """A scalar: its value (int), the loop tuple's element that it is ("3"), or None.

        `arguments` are what the computation's parameters are, where it is a fusion's.
        """
        instruction = self.computations[computation][name]
        match instruction.opcode:
            case "constant":
                return int(instruction.literal) if _is_integer(instruction.literal) else None
            case "parameter" if arguments:
                return arguments[int(instruction.literal)]
            case "get-tuple-element":
                return instruction.attribute("index")
            case "copy" | "bitcast" | "convert" | "reshape":
                return self._resolve(computation, instruction.operands[0], arguments)
        return None

    def _through_fusion(
        self, computation: str, name: str
    ) -> tuple[str, Instruction, tuple[int | str | None, ...]]:
        """The instruction, or the root of the fusion that it is, with the fusion's arguments."""
        instruction = self.computations[computation][name]
        if instruction.opcode not in ("fusion", "call"):
            return computation, instruction, ()
        inner = instruction.called[0]
        arguments = tuple(self._resolve(computation, operand) for operand in instruction.operands)
        return inner, self._root(inner), arguments

    def _comparison(self, condition: str) -> tuple[str, int | str | None, int | str | None] | None:
        where, root, arguments = self._through_fusion(condition, self._root(condition).name)
        if root.opcode != "compare":
            return None
        left, right = (self._resolve(where, operand, arguments) for operand in root.operands)
        return root.attribute("direction") or "", left, right

    def _loop_value(self, computation: str, loop: Instruction, index: int) -> int | None:
        """What an element of the loop's tuple is before the first trip."""
        start = self.computations[computation][loop.operands[0]]
        if start.opcode != "tuple":
            return None
        value = self._resolve(computation, start.operands[index])
        return value if isinstance(value, int) else None

    def _step(self, body: str, index: int) -> int | None:
        """The constant that an element of the loop's tuple grows by in each trip."""
        root = self._root(body)
        if root.opcode != "tuple":
            return None
        where, update, arguments = self._through_fusion(body, root.operands[index])
        while update.opcode in ("copy", "bitcast"):
            where, update, arguments = self._through_fusion(where, update.operands[0])
        if update.opcode not in ("add", "subtract"):
            return None
        left, right = (self._resolve(where, operand, arguments) for operand in update.operands)
        if update.opcode == "add" and isinstance(left, int):
            left, right = right, left
        if left != str(index):
            return None
        if isinstance(right, str):  # A constant that the loop carries along.
            carried = self._resolve(body, root.operands[int(right)])
            right = carried if isinstance(carried, int) else None
        return right if right is None or update.opcode == "add" else -right


def parse(text: str) -> Module:
    """Parses `compiled.as_text()`. Raises ValueError where it has no entry computation."""
    computations: dict[str, Computation] = {}
    entry, current = "", None
    for line in text.splitlines():
        if current is None:
            opened = re.match(r"^(ENTRY )?%?([\w.\-]+) (?:\(.*\) -> .*)?\{$", line)
            if opened:
                current = computations.setdefault(opened.group(2), {})
                entry = opened.group(2) if opened.group(1) else entry
        elif line.startswith("}"):
            current = None
        elif instruction := _instruction(line):
            current[instruction.name] = instruction  # type: ignore[index]
    if not entry:
        raise ValueError("this is no HLO text: it has no ENTRY computation")
    return Module(computations, entry)


def _instruction(line: str) -> Instruction | None:
    head = _HEAD.match(line)
    if not head:
        return None
    shape_end = _shape_end(line, head.end())
    opened = line.index("(", shape_end)
    closed = _closing(line, opened)
    inside = line[opened + 1 : closed]
    return Instruction(
        name=head.group(2),
        opcode=line[shape_end:opened].strip(),
        results=_arrays(line[head.end() : shape_end]),
        operands=tuple(_NAME.findall(inside)),
        attributes=line[closed + 1 :],
        literal=inside,
        root=bool(head.group(1)),
    )


def _arrays(text: str) -> tuple[Array, ...]:
    return tuple(
        Array(dtype, tuple(int(dim.strip(" <=")) for dim in dims.split(",") if dim), layout)
        for dtype, dims, layout in _SHAPE.findall(text)
    )


def _shape_end(line: str, start: int) -> int:
    """Behind the result's shape: a tuple in parentheses, or a text without a space."""
    return _closing(line, start) + 1 if line[start] == "(" else line.index(" ", start)


def _closing(line: str, opened: int) -> int:
    depth = 0
    for match in re.compile(r"[()]").finditer(line, opened):
        depth += 1 if match.group() == "(" else -1
        if not depth:
            return match.start()
    raise ValueError(f"an unclosed parenthesis in {line[:80]!r}")


def _is_integer(text: str) -> bool:
    return bool(re.fullmatch(r"-?\d+", text))
