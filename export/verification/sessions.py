"""A SavedModel's signatures as callables of one v1 session, as servers run them."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath
from tensorflow.core.protobuf import config_pb2

from podway.export.error import ExportError

PREDICT = "tensorflow/serving/predict"


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature that can be run.

    Attributes:
      method: the API that it answers to: its method_name.
      inputs: their tensors, in the order in which `call` takes them.
      outputs: theirs, in the order in which it gives them.
      session: that holds the model.
    """

    method: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    session: Any

    @functools.cached_property
    def call(self) -> Any:
        """Prepared when it is first wanted: TensorFlow takes up to a second to optimise it."""
        options = config_pb2.CallableOptions(
            feed=list(self.inputs.values()), fetch=list(self.outputs.values())
        )
        return self.session._make_callable_from_options(options)


def load(directory: epath.PathLike) -> dict[str, Signature]:
    """The signatures of a SavedModel, by name."""
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], os.fspath(directory))
    return {
        name: Signature(
            definition.method_name,
            {key: tensor.name for key, tensor in definition.inputs.items()},
            {key: tensor.name for key, tensor in definition.outputs.items()},
            session,
        )
        for name, definition in meta.signature_def.items()
        if not name.startswith("__")
    }


def run(
    signature: Signature, inputs: Mapping[str, np.ndarray], where: str
) -> dict[str, np.ndarray]:
    """The outputs, by name. Raises ExportError that says where it went wrong."""
    try:
        answers = signature.call(*(inputs[name] for name in signature.inputs))
    except tf.errors.OpError as error:
        raise ExportError(f"{where}: {error.message.splitlines()[0]}") from error
    return dict(zip(signature.outputs, answers, strict=True))
