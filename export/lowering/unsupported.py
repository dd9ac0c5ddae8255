"""What a model calls that the serving runtime doesn't have: by name, and where in the model.

A custom call lives outside the lowered module (LAPACK's qr, svd and cholesky, approximate top-k,
Pallas, callbacks into Python). JAX notes in the module where each operation comes from; the
functions that it shares among calls have that at the calls.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jax.extend import core
from jax.extend.mlir import ir

from podway.export.error import ExportError

_RUNS_ANYWHERE = frozenset({"shape_assertion"})
_OUTSIDE = re.compile(r"pallas_call|callback|ffi_call|custom_call|infeed|outfeed")
_FRAME = re.compile(r'"([^"]+)":(\d+):')
_LIBRARIES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)


def refuse_custom_calls(module: ir.Module) -> None:
    """Raises ExportError for the first call out of a module, with its name and source line."""
    found: list[tuple[str, str]] = []
    callers: dict[str, Any] = {}

    def visit(operation: Any) -> ir.WalkResult:
        if operation.name == "func.call":
            callee = ir.FlatSymbolRefAttr(operation.attributes["callee"]).value
            callers.setdefault(callee, operation)
        elif operation.name == "stablehlo.custom_call":
            called = ir.StringAttr(operation.attributes["call_target_name"]).value
            if called not in _RUNS_ANYWHERE:
                found.append((called, operation))
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for called, operation in found:
        raise _refusal(called, _frames(operation, callers))


def refuse_primitives(function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    """Raises ExportError for the first JAX primitive that only runs outside of a module.

    For a function that cannot be lowered: such a primitive is why, though JAX may say otherwise.
    Returns where the function cannot even be traced: then JAX's own error says why.
    """
    try:
        jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    except Exception:  # any that a model may raise
        return
    for equation in _equations(jaxpr):
        if _OUTSIDE.search(equation.primitive.name):
            traceback = equation.source_info.traceback
            frames = traceback.frames if traceback else ()
            lines = [(frame.file_name, frame.line_num) for frame in frames]
            raise _refusal(equation.primitive.name, lines)


def _refusal(called: str, frames: Sequence[tuple[str, int]]) -> ExportError:
    """The innermost line that is not a library's is the model's."""
    own = [(file, line) for file, line in frames if not any(part in file for part in _LIBRARIES)]
    caller = next(iter(own or frames), None)
    where = f" at {caller[0]}:{caller[1]}" if caller else ""
    return ExportError(
        f"the model calls {called!r}{where}, which the serving runtime doesn't have;"
        " write it with plain XLA operations"
    )


def _frames(operation: Any, callers: dict[str, Any]) -> list[tuple[str, int]]:
    """Files and lines, innermost first: the operation's own, then those of the calls up to it."""
    frames: list[tuple[str, int]] = []
    seen: set[str] = set()
    while operation is not None:
        frames += [(file, int(line)) for file, line in _FRAME.findall(str(operation.location))]
        while operation is not None and operation.name != "func.func":
            parent = operation.parent
            operation = getattr(parent, "operation", parent)
        if operation is None:
            break
        name = ir.StringAttr(operation.attributes["sym_name"]).value
        operation = None if name in seen else callers.get(name)
        seen.add(name)
    return frames


def _equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, list | tuple) else (value,):
                if isinstance(part, core.ClosedJaxpr):
                    yield from _equations(part.jaxpr)
                elif isinstance(part, core.Jaxpr):
                    yield from _equations(part)
