"""On request (export.beside), what JAX takes beside what TensorFlow takes of a published model.

    assets.extra/jax_export.bin   the served function, as jax.export serialises it: for CPU, CUDA
                                  and TPU, with a free batch size and the parameters as an argument
    assets.extra/weights/         the parameters, path → array, as an Orbax checkpoint

Servers look at neither. The function takes what the lowered one takes, as a dataset has it, not
what a client sends: a recommender's history of ids, oldest first, padded at the end, and the times,
where the model reads them; the columns that the manifest of a model of rows names in `columns`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax import export as jax_export

from podway.export.error import ExportError

FUNCTION, WEIGHTS = "assets.extra/jax_export.bin", "assets.extra/weights"
PLATFORMS = ("cpu", "cuda", "tpu")

Part = Literal["jax-export", "weights"]


def write(
    directory: epath.PathLike,
    parts: Sequence[Part],
    function: Callable[..., Any],
    parameters: dict[str, np.ndarray],
    columns: Sequence[jax.ShapeDtypeStruct],
) -> None:
    """Writes the parts that are wanted into a SavedModel's directory.

    Args:
      directory: of the SavedModel; a local one.
      parts: of export.beside.
      function: (parameters, *columns [batch, …]) → tuple of arrays.
      parameters: by path.
      columns: what one row has of each.
    """
    directory = epath.Path(directory)
    if "jax-export" in parts:
        (directory / FUNCTION).parent.mkdir(parents=True, exist_ok=True)
        (directory / FUNCTION).write_bytes(_export(function, parameters, columns))
    if "weights" in parts:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save((directory / WEIGHTS).absolute(), parameters)


def load_function(directory: epath.PathLike) -> Callable[..., Any]:
    """(parameters, *columns [batch, …]) → tuple of arrays, of a published model.

    Raises ExportError where the model was exported without it.
    """
    path = epath.Path(directory) / FUNCTION
    if not path.exists():
        raise ExportError(f"{path} does not exist; export with --export.beside jax-export")
    return jax_export.deserialize(bytearray(path.read_bytes())).call


def load_weights(directory: epath.PathLike) -> dict[str, np.ndarray]:
    """The parameters of a published model, path → array (NumPy).

    Raises ExportError where the model was exported without them.
    """
    path = epath.Path(directory).absolute() / WEIGHTS
    if not path.exists():
        raise ExportError(f"{path} does not exist; export with --export.beside weights")
    with ocp.PyTreeCheckpointer() as checkpointer:
        return jax.tree.map(np.asarray, checkpointer.restore(path))


def _export(
    function: Callable[..., Any],
    parameters: dict[str, np.ndarray],
    columns: Sequence[jax.ShapeDtypeStruct],
) -> bytes:
    (batch,) = jax_export.symbolic_shape("batch")
    shapes = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), parameters)
    rows = [jax.ShapeDtypeStruct((batch, *column.shape), column.dtype) for column in columns]
    exported = jax_export.export(jax.jit(function), platforms=PLATFORMS)(shapes, *rows)
    return bytes(exported.serialize())
