"""Warm-up: the requests that a model brings along, replayed before it serves.

They lie in assets.extra/tf_serving_warmup_requests, TFRecords of PredictionLog, as TensorFlow
Serving reads them. They make the first real request as quick as the others: whatever is compiled
or allocated at the first run of a shape is done by then.
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import logging

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from export import layout
from export.server import tensors
from export.server.error import RequestError, ServerError
from export.server.servable import Servable

log = logging.getLogger(__name__)

MAX_RECORDS = 1000
"""TensorFlow Serving refuses more."""


def replay(servable: Servable) -> int:
    """Runs the model's warm-up requests; returns their number.

    Raises:
      ServerError: a record cannot be read or run; it names the record.
    """
    path = servable.directory / layout.WARMUP
    if not path.exists():
        return 0
    count = 0
    try:
        for count, record in enumerate(tf.data.TFRecordDataset(str(path)).as_numpy_iterator(), 1):
            _run(servable, prediction_log_pb2.PredictionLog.FromString(record))
            if count > MAX_RECORDS:
                raise ServerError(f"more than {MAX_RECORDS} records")
    except tf.errors.OpError as error:
        raise ServerError(f"warm-up failed: {path}, after record {count}: {error.message}") from (
            error
        )
    except (RequestError, DecodeError, ServerError) as error:
        raise ServerError(f"warm-up failed: {path}, record {count}: {error}") from error
    return count


def _run(servable: Servable, record: prediction_log_pb2.PredictionLog) -> None:
    kind = record.WhichOneof("log_type")
    if kind != "predict_log":
        log.warning("%s: skipping a warm-up record of kind %s", servable.directory, kind)
        return
    request = record.predict_log.request
    signature = servable.signature(request.model_spec.signature_name)
    signature.run(list(tensors.decode(request.inputs, signature.inputs).values()))
