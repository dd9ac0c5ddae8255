"""Warm-up requests, which a server replays before it calls a version available.

One for each batch size that is compiled and each signature: without them the first request of each
size would wait for the compiler.
"""

from collections.abc import Mapping, Sequence
from typing import Any

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

from podway.export.graph.classify_regress import EXAMPLES, INPUTS, SIGNATURE
from podway.export.layout import WARMUP
from podway.export.verification import requests as example_requests
from podway.framework.schema.schema import FIRST_VALUE, Vocabulary


def write(
    directory: epath.PathLike,
    name: str,
    vocabulary: Vocabulary,
    buckets: tuple[int, ...],
    signatures: Sequence[str],
    *,
    times: bool = False,
) -> None:
    """Writes the file WARMUP of a recommender: TFRecords of PredictionLog.

    `times` says whether its requests have such an input.
    """
    value = vocabulary.values[FIRST_VALUE]
    known, empty = np.array([[value.encode()]], object), np.array([[b""]], object)
    rows = {
        "serving_default": {"history": known},
        "ids": {"history": np.array([[FIRST_VALUE]], np.int64)},
        EXAMPLES: {EXAMPLES: example_requests.histories([[value]], [[0]] if times else None)},
        "filtered": {"history": known, "allow": empty, "deny": empty},
    }
    if times:
        own = {"times": np.zeros((1, 1), np.int64)}
        rows = {each: asked if each == EXAMPLES else asked | own for each, asked in rows.items()}
    _write_buckets(directory, name, {each: rows[each] for each in signatures}, buckets)


def write_rows(
    directory: epath.PathLike,
    name: str,
    raw: Mapping[str, Sequence[Any]],
    kinds: Mapping[str, str],
    methods: Sequence[str],
    buckets: tuple[int, ...],
) -> None:
    """The same for a model of rows: its first ordinary row, as often as a batch has rows.

    Args:
      directory: of the SavedModel.
      name: of the model.
      raw: golden requests, by input.
      kinds: dtype of each input.
      methods: the signatures for Classify and Regress, which Predict reaches too.
      buckets: the batch sizes that are compiled.
    """
    columns = {key: example_requests.tensor(raw[key][2:3], kind) for key, kind in kinds.items()}
    example = example_requests.rows(raw, kinds, {}, [2])
    asked = {
        SIGNATURE: columns,
        EXAMPLES: {EXAMPLES: example},
        **{method: {INPUTS: example} for method in methods},
    }
    _write_buckets(directory, name, asked, buckets)


def _write_buckets(
    directory: epath.PathLike,
    name: str,
    rows: Mapping[str, Mapping[str, np.ndarray]],
    buckets: tuple[int, ...],
) -> None:
    """The request of one row that each signature is given, as often as a batch has rows."""
    requests = [
        (signature, {key: each.repeat(bucket, axis=0) for key, each in inputs.items()})
        for bucket in buckets
        for signature, inputs in rows.items()
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
