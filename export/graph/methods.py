"""What TensorFlow Serving's APIs take a signature for: its method_name, which tf.saved_model.save
sets to that of Predict, always.

A request for Classify or Regress is refused unless the signature names that method; Predict takes
any of the three.
"""

import os
import pathlib
from collections.abc import Mapping

from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils

from podway.export.graph.classify_regress import Method

NAMES: dict[str, str] = {
    method: f"tensorflow/serving/{method}" for method in ("classify", "regress")
}


def write(directory: os.PathLike, methods: Mapping[str, tuple[Method, str]]) -> None:
    """Sets the method of signatures in saved_model.pb, and renews fingerprint.pb."""
    path = pathlib.Path(directory) / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for meta in model.meta_graphs:
        for signature, (method, _) in methods.items():
            meta.signature_def[signature].method_name = NAMES[method]
    path.write_bytes(model.SerializeToString(deterministic=True))
    fingerprinting_utils.write_fingerprint(os.fspath(directory))
