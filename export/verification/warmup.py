"""Warm-up requests, which a server replays before it calls a version available.

One for each batch size that is compiled and each signature: without them the first request of each
size would wait for the compiler.
"""

from collections.abc import Mapping

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

from podway.export.layout import WARMUP


def write(
    directory: epath.PathLike,
    name: str,
    rows: Mapping[str, Mapping[str, np.ndarray]],
    buckets: tuple[int, ...],
) -> None:
    """Writes the file WARMUP: TFRecords of PredictionLog.

    Args:
      directory: of the SavedModel.
      name: of the model.
      rows: signature → its inputs of one row, which is sent as often as a batch has rows.
      buckets: the batch sizes that are compiled.
    """
    path = epath.Path(directory) / WARMUP
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for bucket in buckets:
            for signature, inputs in rows.items():
                request = PredictRequest()
                request.model_spec.name = name
                request.model_spec.signature_name = signature
                for key, values in inputs.items():
                    tensor = tf.make_tensor_proto(values.repeat(bucket, axis=0))
                    request.inputs[key].CopyFrom(tensor)
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
