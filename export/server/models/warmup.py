"""Warm-up: the requests that a model brings along, replayed before it serves.

They lie in assets.extra/tf_serving_warmup_requests, TFRecords of PredictionLog, as TensorFlow
Serving reads them: predict, classify, regress and multi-inference requests. They make the first
real request as quick as the others: whatever is compiled or allocated at the first run of a shape
is done by then.
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import input_pb2, prediction_log_pb2

from podway.export import layout
from podway.export.server.error import UNIMPLEMENTED, RequestError, ServerError
from podway.export.server.runtime import classify_regress, tensors
from podway.export.server.runtime.servable import Servable

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
    """Raises RequestError, as the request itself would."""
    kind = record.WhichOneof("log_type")
    if kind == "predict_log":
        request = record.predict_log.request
        signature = servable.signature(request.model_spec.signature_name)
        signature.run(list(tensors.decode(request.inputs, signature.inputs).values()))
    elif kind == "classify_log":
        request = record.classify_log.request
        _classify(servable, request.model_spec.signature_name, request.input)
    elif kind == "regress_log":
        request = record.regress_log.request
        _regress(servable, request.model_spec.signature_name, request.input)
    elif kind == "multi_inference_log":
        request = record.multi_inference_log.request
        for task, signature in classify_regress.tasks(servable, request):
            run = _classify if task.method_name == classify_regress.CLASSIFY else _regress
            run(servable, signature.name, request.input)
    elif kind is not None:
        raise RequestError(UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")


def _classify(servable: Servable, name: str, given: input_pb2.Input) -> None:
    signature = classify_regress.classifier(servable, name)
    rows = classify_regress.serialize(given)
    outputs = zip(signature.outputs, signature.run([rows]), strict=True)
    classify_regress.classifications(len(rows), dict(outputs))


def _regress(servable: Servable, name: str, given: input_pb2.Input) -> None:
    signature = classify_regress.regressor(servable, name)
    rows = classify_regress.serialize(given)
    outputs = zip(signature.outputs, signature.run([rows]), strict=True)
    classify_regress.regressions(len(rows), dict(outputs))
