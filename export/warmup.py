"""Warm-up requests, which a server replays before it calls a version available.

One for each batch size that is compiled and each signature: without them the first request of each
size would wait for the compiler.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from etils import epath
from tensorflow_serving.apis.predict_pb2 import (
    PredictRequest,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorflow_serving.apis.prediction_log_pb2 import (
    PredictionLog,  # pyright: ignore[reportAttributeAccessIssue]
    PredictLog,  # pyright: ignore[reportAttributeAccessIssue]
)

from export.layout import WARMUP
from framework.schema import FIRST_VALUE, Vocabulary


def write(
    directory: epath.PathLike,
    name: str,
    vocabulary: Vocabulary,
    buckets: tuple[int, ...],
    signatures: Sequence[str],
) -> None:
    """Writes the file WARMUP of a recommender: TFRecords of PredictionLog."""
    known = vocabulary.values[FIRST_VALUE].encode()
    inputs: dict[str, dict[str, object]] = {
        "serving_default": {"history": known},
        "ids": {"history": np.int64(FIRST_VALUE)},
        "filtered": {"history": known, "allow": b"", "deny": b""},
    }
    requests = [
        (signature, {key: np.full((bucket, 1), value) for key, value in inputs[signature].items()})
        for bucket in buckets
        for signature in signatures
    ]
    write_requests(directory, name, requests)


def write_requests(
    directory: epath.PathLike, name: str, requests: Sequence[tuple[str, Mapping[str, np.ndarray]]]
) -> None:
    """Writes the file WARMUP, of requests as signature and inputs."""
    path = epath.Path(directory) / WARMUP
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            request = PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for each, values in inputs.items():
                request.inputs[each].CopyFrom(tf.make_tensor_proto(values))
            log = PredictionLog(predict_log=PredictLog(request=request))
            writer.write(log.SerializeToString())


def read(directory: epath.PathLike) -> list[PredictRequest]:
    """The requests of a SavedModel directory; none where it has no such file."""
    path = epath.Path(directory) / WARMUP
    if not path.exists():
        return []
    return [
        PredictionLog.FromString(record).predict_log.request
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
