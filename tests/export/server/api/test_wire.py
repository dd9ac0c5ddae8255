"""Values are counted on the wire as the parser finds them."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2

from podway.export.server.api import wire
from podway.export.server.api.aside import unchecked
from podway.export.server.error import RESOURCE_EXHAUSTED, RequestError
from podway.export.server.limits import Limits

FEW = Limits(elements=100)


def check(message, kind=None) -> None:
    data = message if isinstance(message, bytes) else message.SerializeToString()
    wire.check(data, kind or type(message), FEW, unchecked)


@pytest.mark.parametrize("field", ["float_val", "double_val", "int_val", "int64_val", "bool_val"])
def test_numbers_in_fields_are_counted(field):
    proto = tensor_pb2.TensorProto()
    value = 300 if "int" in field else 1
    getattr(proto, field).extend([value] * 90)
    check(proto)
    getattr(proto, field).extend([value] * 20)
    with pytest.raises(RequestError, match=r"more than 100 values \(--max_request_elements\)") as e:
        check(proto)
    assert e.value.code == RESOURCE_EXHAUSTED


def test_strings_are_counted_and_bytes_are_not():
    proto = tf.make_tensor_proto([["a"] * 10] * 9)
    check(proto)
    proto.string_val.extend([b""] * 20)
    with pytest.raises(RequestError):
        check(proto)
    check(tf.make_tensor_proto(np.zeros(100_000, np.float32)))  # tensor_content
    check(tensor_pb2.TensorProto(string_val=[b"BBBB" * 100_000]))


def test_what_is_nested_is_counted():
    request = predict_pb2.PredictRequest()
    for number in range(3):
        request.inputs[str(number)].CopyFrom(tf.make_tensor_proto([["a"] * 10]))
    check(request)
    request.inputs["more"].CopyFrom(tf.make_tensor_proto([["a"] * 90]))
    with pytest.raises(RequestError):
        check(request)
    request = classification_pb2.ClassificationRequest()
    for _ in range(40):
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(1.0)
    with pytest.raises(RequestError):
        check(request)


def test_what_is_unknown_is_counted():
    with pytest.raises(RequestError):
        check(b"\xf8\x07\x01" * 200, tensor_pb2.TensorProto)


@hypothesis.given(st.binary(max_size=40), st.sampled_from([tensor_pb2.TensorProto]))
def test_nothing_but_these_errors(data, kind):
    try:
        check(data, kind)
    except (DecodeError, RequestError):
        return


@hypothesis.given(st.binary(max_size=12))
def test_what_the_parser_reads_is_let_through(data):
    data = b"\x42" + bytes([len(data)]) + data + b"\x52\x02\x01\x01"
    assert tensor_pb2.TensorProto.FromString(data).int64_val == [1, 1]
    check(data, tensor_pb2.TensorProto)
