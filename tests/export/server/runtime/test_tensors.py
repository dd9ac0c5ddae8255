# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from podway.export.server.error import INVALID_ARGUMENT, RequestError
from podway.export.server.runtime import tensors
from podway.export.server.runtime.tensors import TensorSpec

FREE = TensorSpec("x:0", types_pb2.DT_FLOAT, (None, 2))


@pytest.mark.parametrize(
    "values",
    [
        np.array([[1.5, -np.inf]], np.float32),
        np.array([[0.1, 0.2]], np.float64),
        np.array([-3, 7], np.int32),
        np.array(2**62, np.int64),
        np.array([200], np.uint8),
        np.array([2**63], np.uint64),
        np.array([True, False]),
        np.array([[1.5, 2.5]], ml_dtypes.bfloat16),
        np.array([1.5], np.float16),
        np.array([[b"a", b"\xff"]], object),
        np.zeros((0, 3), np.float32),
    ],
)
def test_what_is_encoded_is_what_clients_read(values):
    dtype = tf.as_dtype(values.dtype if values.dtype != object else tf.string)
    proto = tensor_pb2.TensorProto()
    tensors.encode(values, dtype.as_datatype_enum, proto)
    read = tf.make_ndarray(proto)
    assert read.dtype == values.dtype
    assert read.shape == values.shape
    assert read.tolist() == values.tolist()


@pytest.mark.parametrize("compact", [True, False])
def test_decode_takes_both_forms_that_clients_send(compact):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT)
    for size in (3, 2):
        proto.tensor_shape.dim.add().size = size
    if compact:
        proto.float_val.append(4)  # one value stands for all
    else:
        proto.tensor_content = np.full(6, 4, np.float32).tobytes()
    assert tensors.decode({"x": proto}, {"x": FREE})["x"].tolist() == [[4, 4]] * 3


@pytest.mark.parametrize("values", [[[b"a", b"\xff"], [b"", b"d"]], [[b"a", b"a"]] * 2])
def test_decode_of_strings(values):
    spec = TensorSpec("x:0", types_pb2.DT_STRING, (None, None))
    proto = tf.make_tensor_proto(values)
    assert tensors.decode({"x": proto}, {"x": spec})["x"].tolist() == values
    del proto.string_val[1:]  # the last value stands for the rest
    decoded = tensors.decode({"x": proto}, {"x": spec})["x"]
    assert decoded.tolist() == [[b"a", b"a"]] * 2


def proto_of(values, dtype=None, shape=None):
    proto = tf.make_tensor_proto(values, dtype)
    if shape is not None:
        del proto.tensor_shape.dim[:]
        for size in shape:
            proto.tensor_shape.dim.add().size = size
    return proto


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, r"Sent extra: \{\}. Missing but required: \{x\}"),
        ({"x": proto_of([[1.0, 2.0]]), "y": proto_of(1)}, r"Sent extra: \{y\}"),
        ({"x": proto_of([["a", "b"]])}, "'x' is of type DT_STRING; the signature wants DT_FLOAT"),
        ({"x": proto_of([[1.0, 2.0]], shape=(-1, 2))}, "no complete shape"),
        ({"x": proto_of([[1.0, 2.0]], shape=(1 << 40, 2))}, "more elements than values"),
        ({"x": proto_of([[1.0, 2.0]], shape=(3, 2))}, "not the values of its shape"),
    ],
)
def test_a_bad_input_is_one_sentence(inputs, said):
    with pytest.raises(RequestError, match=said) as raised:
        tensors.decode(inputs, {"x": FREE})
    assert raised.value.code == INVALID_ARGUMENT
    assert "\n" not in raised.value.message


def test_a_value_may_stand_for_some_more_and_not_for_a_million():
    spec = TensorSpec("x:0", types_pb2.DT_STRING, (None, 2))
    proto = proto_of([["a", "b"]], shape=(1 << 15, 2))
    assert tensors.decode({"x": proto}, {"x": spec})["x"].shape == (1 << 15, 2)
    proto = proto_of([["a", "b"]], shape=(1 << 16, 2))
    with pytest.raises(RequestError, match="send the values of all but 65536 of them"):
        tensors.decode({"x": proto}, {"x": spec})
    whole = proto_of(np.zeros((1 << 16, 2), np.float32))  # has bytes for all of them
    assert tensors.decode({"x": whole}, {"x": FREE})["x"].shape == (1 << 16, 2)


def test_bytes_of_a_name_are_no_values():
    spec = TensorSpec("x:0", types_pb2.DT_STRING, (None, 2))
    proto = proto_of([["a", "b"]], shape=(1 << 19, 2))
    proto.tensor_shape.dim[0].name = "n" * (1 << 21)
    with pytest.raises(RequestError, match="more elements than values"):
        tensors.decode({"x": proto}, {"x": spec})
