"""Our own messages against TensorFlow Serving's."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from podway.online.servers import messages

ROWS = {
    "string": [["a", "ü"], ["", "b"]],
    "float32": [[0.5, -1.0], [2.0, 3.5]],
    "float64": [0.25],
    "int32": [[1], [-2]],
    "int64": 7,
    "bool": [True, False],
}


def test_fields_are_those_of_tensorflow_serving():
    names = {
        "ModelSpec": "tensorflow.serving.ModelSpec",
        "PredictRequest": "tensorflow.serving.PredictRequest",
        "PredictResponse": "tensorflow.serving.PredictResponse",
        "TensorProto": "tensorflow.TensorProto",
        "TensorShapeProto": "tensorflow.TensorShapeProto",
        "Dim": "tensorflow.TensorShapeProto.Dim",
        "Int64Value": "google.protobuf.Int64Value",
        "NamedTensor": "tensorflow.serving.PredictRequest.InputsEntry",
    }
    assert set(names) == set(messages.MESSAGES)
    pool = predict_pb2.DESCRIPTOR.pool
    for name, theirs in names.items():
        known = pool.FindMessageTypeByName(theirs).fields_by_name
        for field, (number, kind) in messages.MESSAGES[name].items():
            assert known[field].number == number, (name, field)
            assert known[field].is_repeated == kind.endswith("*")


@pytest.mark.parametrize("kind", messages.TYPES)
def test_tensors_are_read_by_tensorflow_and_read_back(kind):
    request = messages.PredictRequest()
    request.model_spec.name, request.model_spec.version_label = "m", "canary"
    messages.write(request.inputs.add(key="x").value, ROWS[kind], kind)
    theirs = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    array = tf.make_ndarray(theirs.inputs["x"])
    want = np.array(ROWS[kind], dtype=object if kind == "string" else kind)
    if kind == "string":
        want = np.vectorize(str.encode, otypes=[object])(want)
    assert array.dtype == want.dtype
    assert array.tolist() == want.tolist()
    assert theirs.model_spec.version_label == "canary"
    response = predict_pb2.PredictResponse()
    response.outputs["y"].CopyFrom(theirs.inputs["x"])
    response.model_spec.version.value = 4
    ours = messages.PredictResponse.FromString(response.SerializeToString())
    assert messages.read(ours.outputs[0].value) == ROWS[kind]
    assert ours.model_spec.version.value == 4


def test_one_value_may_stand_for_all():
    proto = tf.make_tensor_proto(np.zeros((2, 3), np.float32))
    one = messages.PredictResponse()
    response = predict_pb2.PredictResponse()
    del proto.float_val[:]
    proto.tensor_content = b""
    proto.float_val.append(1.5)
    response.outputs["y"].CopyFrom(proto)
    one.ParseFromString(response.SerializeToString())
    assert messages.read(one.outputs[0].value) == [[1.5] * 3] * 2


def test_rows_that_are_no_tensor():
    for rows, kind, message in (
        ([["a"], ["a", "b"]], "", "rows differ in length"),
        ([1, "a"], "int64", "a value is no int64"),
        ([1], "int16", "none of the types"),
    ):
        with pytest.raises(ValueError, match=message):
            messages.write(messages.PredictRequest().inputs.add(key="x").value, rows, kind)
