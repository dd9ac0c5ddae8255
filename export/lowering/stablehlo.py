"""A JAX function → StableHLO that an older TensorFlow can read.

JAX writes the newest StableHLO, with composites (`top_k`, `erf`, …) that TensorFlow refuses. So the
composites are inlined and the module is written in the target's version of the format, which
StableHLO guarantees for the operations that the target knows (openxla.org/stablehlo/compatibility).
The batch size stays free: the runtime compiles the module for each size that it meets.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import export as jax_export
from jax.extend.mlir import passmanager
from jax.extend.mlir.dialects import stablehlo
from jax.interpreters import mlir as jax_mlir

from podway.export.error import ExportError
from podway.export.lowering import unsupported
from podway.export.lowering.target import TARGETS

PLATFORMS = ("cpu", "cuda")
"""What the module is lowered for; the runtime picks one."""

_REFUSED = (ValueError, TypeError, NotImplementedError, jax.errors.InconclusiveDimensionOperation)
_PASSES = "builtin.module(func.func(stablehlo-legalize-composite-to-call),symbol-dce)"


@dataclasses.dataclass(frozen=True)
class LoweredFunction:
    """A function of weights and the columns of one batch, as the runtime takes it.

    Attributes:
      module: StableHLO portable artefact.
      calling_convention: `version` of the XlaCallModule operation.
      platforms: as in PLATFORMS, in the runtime's spelling.
      weights: paths of the parameters, in the order of the arguments; columns come after them.
      dtypes: of the results.
      shapes: of the results; None is the batch.
    """

    module: bytes
    calling_convention: int
    platforms: tuple[str, ...]
    weights: tuple[str, ...]
    dtypes: tuple[np.dtype, ...]
    shapes: tuple[tuple[int | None, ...], ...]


def lower(
    function: Callable[..., Any],
    parameters: dict[str, np.ndarray],
    length: int,
    target: str,
    allowed: int | None = None,
    *,
    times: bool = False,
) -> LoweredFunction:
    """Lowers `function(parameters, ids i32 [batch, length]) → tuple of arrays`; see below.

    With `times`, the function also takes these, i32 [batch, length]; with `allowed`, as its last,
    an array bool [batch, allowed].
    """
    columns = [jax.ShapeDtypeStruct((length,), np.dtype(np.int32))] * (1 + times)
    if allowed is not None:
        columns.append(jax.ShapeDtypeStruct((allowed,), np.dtype(bool)))
    return lower_rows(function, parameters, columns, target)


def lower_rows(
    function: Callable[..., Any],
    parameters: dict[str, np.ndarray],
    columns: Sequence[jax.ShapeDtypeStruct],
    target: str,
) -> LoweredFunction:
    """Lowers `function(parameters, *columns [batch, …]) → tuple of arrays` for a target.

    `columns` say what one row has of each.

    Raises ExportError where the function needs a fixed batch size, calls something that lives
    outside the module (unsupported.py), or needs operations that the target doesn't know.
    """
    paths = tuple(sorted(parameters))

    def flat(weights: list[jax.Array], columns: list[jax.Array]) -> Any:
        return function(dict(zip(paths, weights, strict=True)), *columns)

    exported = _export(flat, [parameters[path] for path in paths], columns, target)
    kept = [index for index in exported.module_kept_var_idx if index < len(paths)]
    return LoweredFunction(
        module=_retarget(exported, target),
        calling_convention=exported.calling_convention_version,
        platforms=tuple(platform.upper() for platform in exported.platforms),
        weights=tuple(paths[index] for index in kept),
        dtypes=tuple(np.dtype(aval.dtype) for aval in exported.out_avals),
        shapes=tuple(
            tuple(size if isinstance(size, int) else None for size in aval.shape)
            for aval in exported.out_avals
        ),
    )


def _export(
    flat: Callable[..., Any],
    weights: list[np.ndarray],
    columns: Sequence[jax.ShapeDtypeStruct],
    target: str,
) -> jax_export.Exported:
    (batch,) = jax_export.symbolic_shape("batch")
    arguments = (
        [jax.ShapeDtypeStruct(weight.shape, weight.dtype) for weight in weights],
        [jax.ShapeDtypeStruct((batch, *column.shape), column.dtype) for column in columns],
    )
    # JAX would refuse unknown custom calls with its own text; unsupported.py refuses more.
    unchecked = [jax_export.DisabledSafetyCheck.custom_call("ALL")]
    export = jax_export.export(jax.jit(flat), platforms=PLATFORMS, disabled_checks=unchecked)
    convention = jax.config.jax_export_calling_convention_version  # type: ignore[attr-defined]
    try:
        jax.config.update(
            "jax_export_calling_convention_version", TARGETS[target].calling_convention
        )
        return export(*arguments)
    except _REFUSED as error:
        rows = [jax.ShapeDtypeStruct((2, *column.shape), column.dtype) for column in columns]
        unsupported.refuse_primitives(flat, [weights, rows])
        reason = str(error).strip().split("\n")[0]
        raise ExportError(
            f"the model cannot be lowered with a free batch size: {reason}"
        ) from error
    finally:
        jax.config.update("jax_export_calling_convention_version", convention)


def _retarget(exported: jax_export.Exported, target: str) -> bytes:
    with jax_mlir.make_ir_context() as context:
        stablehlo.register_stablehlo_passes()
        module = stablehlo.deserialize_portable_artifact(context, exported.mlir_module_serialized)
        unsupported.refuse_custom_calls(module)
        passmanager.PassManager.parse(_PASSES).run(module.operation)
        version = TARGETS[target].stablehlo
        try:
            return stablehlo.serialize_portable_artifact_str(str(module), version)
        except Exception as error:  # the binding's own class, which it doesn't export
            raise ExportError(
                f"the model needs operations that StableHLO {version} (TensorFlow {target}) doesn't"
                f" know; give a later export.target: {str(error).strip()}"
            ) from error
