"""One loaded version of a model: its session, and its signatures as callables."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import grpc
import numpy as np
import tensorflow as tf
from etils import epath
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from podway.export import layout
from podway.export.server.error import (
    FAILED_PRECONDITION,
    INTERNAL,
    INVALID_ARGUMENT,
    RequestError,
    ServerError,
)
from podway.export.server.runtime.tensors import TensorSpec

DEFAULT_SIGNATURE = "serving_default"

_CALLER_THREAD = -1
"""RunOptions.inter_op_thread_pool: run small ops where the call came from; ×1.7 at batch 1."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature that can be run, from any thread.

    Attributes:
      name: key in the SavedModel's signature_def.
      inputs: specs by name, in the order in which `run` takes them.
      outputs: specs by name, in the order in which `run` gives them.
      padding: inputs that may be lengthened along dimension 1 by this value without effect.
      rows_alone: whether a row's answer is known not to depend on the others of its request, as of
        each model that podway exports.
    """

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    padding: Mapping[str, Any]
    call: Any
    rows_alone: bool = False

    @property
    def batched(self) -> bool:
        """Whether dimension 0 of every input and output is a free number of rows."""
        specs = [*self.inputs.values(), *self.outputs.values()]
        return all(spec.shape and spec.shape[0] is None for spec in specs)

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs the model. Raises RequestError with TensorFlow's code and message."""
        try:
            return self.call(*inputs)
        except tf.errors.OpError as error:
            code = _CODES.get(error.error_code, INTERNAL)
            raise RequestError(code, f"signature {self.name!r}: {_first_line(error)}") from error
        except UnicodeDecodeError as error:  # TensorFlow's message quotes bytes of the input
            said = error.object.decode("utf-8", "replace").strip().splitlines()[0]
            raise RequestError(INVALID_ARGUMENT, f"signature {self.name!r}: {said}") from error


@dataclasses.dataclass(frozen=True)
class Servable:
    """A SavedModel in memory.

    Attributes:
      directory: where it was read from.
      signature_defs: what its metadata says.
      signatures: those that can be run, by name.
    """

    directory: epath.Path
    signature_defs: Mapping[str, meta_graph_pb2.SignatureDef]
    signatures: Mapping[str, Signature]
    session: Any

    def signature(self, name: str) -> Signature:
        """The signature of this name ("": serving_default). Raises RequestError."""
        name = name or DEFAULT_SIGNATURE
        if signature := self.signatures.get(name):
            return signature
        raise RequestError(
            FAILED_PRECONDITION,
            f'Serving signature key "{name}" not found; this model has {sorted(self.signatures)}',
        )

    def close(self) -> None:
        """Gives the memory back. No run may be in progress."""
        self.session.close()


def load(directory: epath.PathLike, config: config_pb2.ConfigProto | None = None) -> Servable:
    """Reads a SavedModel into a session of its own, with these settings. Raises ServerError.

    The v1 session runs a signature through the C++ runtime in about a third of the time that
    calling the restored Python function takes.
    """
    directory = epath.Path(directory)
    v1 = tf.compat.v1
    graph = tf.Graph()
    session = v1.Session(graph=graph, config=config)
    try:
        with graph.as_default():
            meta_graph = v1.saved_model.load(session, ["serve"], str(directory))
        padding, ours = _padding(directory), (directory / layout.MANIFEST).exists()
        signatures = {
            name: _signature(session, name, definition, padding.get(name, {}), ours)
            for name, definition in meta_graph.signature_def.items()
            if _can_run(definition)
        }
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        session.close()
        raise ServerError(f"{directory} is no SavedModel that loads: {_first_line(error)}") from (
            error
        )
    return Servable(directory, dict(meta_graph.signature_def), signatures, session)


def _can_run(definition: meta_graph_pb2.SignatureDef) -> bool:
    """Leaves out the initialiser, and signatures of sparse tensors, which have no one name."""
    infos = [*definition.inputs.values(), *definition.outputs.values()]
    return bool(definition.method_name) and all(info.name for info in infos)


def _signature(
    session: Any,
    name: str,
    definition: meta_graph_pb2.SignatureDef,
    padding: Mapping[str, Any],
    rows_alone: bool,
) -> Signature:
    inputs = {key: TensorSpec.of(info) for key, info in sorted(definition.inputs.items())}
    outputs = {key: TensorSpec.of(info) for key, info in sorted(definition.outputs.items())}
    options = config_pb2.CallableOptions(
        feed=[spec.tensor for spec in inputs.values()],
        fetch=[spec.tensor for spec in outputs.values()],
        run_options=config_pb2.RunOptions(inter_op_thread_pool=_CALLER_THREAD),
    )
    try:
        call = session._make_callable_from_options(options)
    except tf.errors.InvalidArgumentError as error:  # an output that is an input, say
        call = functools.partial(_refuse, error)
    return Signature(name, inputs, outputs, padding, call, rows_alone)


def _refuse(error: Exception, *inputs: np.ndarray) -> NoReturn:
    """Stands for a signature that cannot be run: the others of its model can."""
    raise error


def _padding(directory: epath.Path) -> dict[str, dict[str, Any]]:
    """What the exporter's manifest says of padding: {signature: {input: value}}."""
    path = directory / layout.MANIFEST
    if not path.exists():
        return {}
    padding = json.loads(path.read_text()).get("details", {}).get("padding", {})
    return {
        signature: {
            name: fill.encode() if isinstance(fill, str) else fill for name, fill in fills.items()
        }
        for signature, fills in padding.items()
    }


def _first_line(error: Exception) -> str:
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return text.strip().splitlines()[0]
