"""Asks a server which version answers, by a real request where the version brought one."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import math
import struct

import grpc
from etils import epath
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from podway.export import layout
from podway.launch.rollout.target import RolloutError

_TIMEOUT = 10.0
_FLOATS = ("float_val", "double_val")


def answering(address: str, name: str, label: str, home: epath.Path, version: int) -> int:
    """The version that answers for a label now.

    The first of the version's warm-up requests is sent; without any the model is asked for its
    metadata, which a server has of loaded versions alone.

    Args:
      address: HOST:PORT of the server's gRPC.
      name: of the model.
      label: that is asked for.
      home: folder of the model.
      version: whose request is sent.

    Raises RolloutError: nobody answers, or with scores that are no numbers.
    """
    request = _warmup(home / str(version) / layout.WARMUP)
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            if request is None:
                asked = get_model_metadata_pb2.GetModelMetadataRequest(
                    metadata_field=["signature_def"]
                )
                asked.model_spec.name, asked.model_spec.version_label = name, label
                response = stub.GetModelMetadata(asked, timeout=_TIMEOUT)
                return response.model_spec.version.value
            request.model_spec.name, request.model_spec.version_label = name, label
            response = stub.Predict(request, timeout=_TIMEOUT)
        except grpc.RpcError as error:
            code, details = error.code(), error.details()  # pyright: ignore
            raise RolloutError(
                f"--server {address} does not answer for label {label!r} of {name}"
                f" ({code.name}: {details})"
            ) from error
    for output, tensor in response.outputs.items():
        if not all(math.isfinite(each) for field in _FLOATS for each in getattr(tensor, field)):
            raise RolloutError(
                f"--server {address}: label {label!r} of {name} answers with {output} that are not"
                " all finite numbers"
            )
    return response.model_spec.version.value


def _warmup(path: epath.Path) -> predict_pb2.PredictRequest | None:
    """The first predict request of a file of TFRecords: length, its check, content, its check."""
    if not path.exists():
        return None
    content, at = path.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        log = prediction_log_pb2.PredictionLog.FromString(content[at + 12 : at + 12 + length])
        if log.HasField("predict_log"):
            return log.predict_log.request
        at += 12 + length + 4
    return None
