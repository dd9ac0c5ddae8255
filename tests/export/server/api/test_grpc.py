# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import grpc
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from tests.export.server.conftest import predict_request


@pytest.mark.contract
def test_predict_answers_with_tensors_and_the_model_that_ran(client):
    response = client.prediction.Predict(predict_request(history=[["a", "b"], ["c", ""]]))
    assert (response.model_spec.name, response.model_spec.version.value) == ("m", 2)
    assert response.model_spec.signature_name == "serving_default"
    assert tf.make_ndarray(response.outputs["item"]).tolist() == [[b"a", b"v2"], [b"c", b"v2"]]
    assert tf.make_ndarray(response.outputs["score"]).shape == (2, 2)
    assert list(response.outputs["score"].float_val) == pytest.approx([2, 0.2, 1, 0.2])


@pytest.mark.contract
def test_predict_takes_a_version_or_a_label(client):
    request = predict_request(version=1, history=[["a"]])
    assert client.prediction.Predict(request).outputs["item"].string_val[1] == b"v1"
    request = predict_request(history=[["a"]])
    request.model_spec.version_label = "stable"
    assert client.prediction.Predict(request).outputs["item"].string_val[1] == b"v1"


@pytest.mark.contract
def test_predict_with_an_output_filter(client):
    request = predict_request(history=[["a"]])
    request.output_filter.append("score")
    assert list(client.prediction.Predict(request).outputs) == ["score"]


@pytest.mark.contract
def test_predict_of_several_inputs_of_several_types(client):
    request = predict_request(signature="two", a=[[1.0, 2.0, 3.0]], b=[10])
    outputs = client.prediction.Predict(request).outputs
    assert list(outputs["sum"].float_val) == [11, 12, 13]
    assert list(outputs["name_bytes"].string_val) == [b"10"]


@pytest.mark.contract
def test_predict_of_no_rows(client):
    history = tf.zeros([0, 3], tf.string)
    response = client.prediction.Predict(predict_request(history=history))
    assert tf.make_ndarray(response.outputs["item"]).shape == (0, 2)


BAD = [
    (predict_request("nobody", history=[["a"]]), "NOT_FOUND", r"request: Latest\(nobody\)"),
    (predict_request("", history=[["a"]]), "INVALID_ARGUMENT", "no name specified"),
    (predict_request(version=7, history=[["a"]]), "NOT_FOUND", r"Specific\(m, 7\)"),
    (predict_request(signature="x", history=[["a"]]), "FAILED_PRECONDITION", '"x" not found'),
    (predict_request(), "INVALID_ARGUMENT", r"Missing but required: \{history\}"),
    (predict_request(history=["a"]), "INVALID_ARGUMENT", "signature 'serving_default': "),
    (predict_request(history=[[1]]), "INVALID_ARGUMENT", "DT_INT32; .* wants DT_STRING"),
    # Only the graph can see that the rows of the two inputs differ.
    (
        predict_request(signature="two", a=[[1.0] * 3] * 2, b=[1, 2, 3]),
        "INVALID_ARGUMENT",
        "signature 'two'",
    ),
    (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
]


@pytest.mark.parametrize(("request_", "code", "said"), BAD)
def test_a_bad_request_is_one_sentence_and_the_server_goes_on(client, request_, code, said):
    with pytest.raises(grpc.RpcError, match=said) as raised:
        client.prediction.Predict(request_)
    assert raised.value.code().name == code
    assert "\n" not in (raised.value.details() or "\n")
    assert client.prediction.Predict(predict_request(history=[["a"]])).outputs


@pytest.mark.parametrize("names", [["nothing"], ["item", "item"]])
def test_a_bad_output_filter(client, names):
    request = predict_request(history=[["a"]])
    request.output_filter.extend(names)
    with pytest.raises(grpc.RpcError, match="output tensor alias") as raised:
        client.prediction.Predict(request)
    assert raised.value.code().name == "INVALID_ARGUMENT"


def test_an_unknown_label(client):
    request = predict_request(history=[["a"]])
    request.model_spec.version_label = "canary"
    with pytest.raises(grpc.RpcError, match="Unrecognized servable version label: canary"):
        client.prediction.Predict(request)


@pytest.mark.contract
def test_metadata_has_the_signatures(client):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "m"
    response = client.prediction.GetModelMetadata(request)
    definitions = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(definitions)
    assert response.model_spec.version.value == 2
    history = definitions.signature_def["serving_default"].inputs["history"]
    assert [dim.size for dim in history.tensor_shape.dim] == [-1, -1]


@pytest.mark.parametrize("fields", [[], ["weights"]])
def test_metadata_of_an_unknown_field(client, fields):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = "m"
    with pytest.raises(grpc.RpcError, match=r"metadata_field|weights") as raised:
        client.prediction.GetModelMetadata(request)
    assert raised.value.code().name == "INVALID_ARGUMENT"


@pytest.mark.contract
def test_status_of_all_versions_and_of_one(client):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "m"
    versions = client.model.GetModelStatus(request).model_version_status
    assert [(v.version, v.state) for v in versions] == [(1, 30), (2, 30)]
    request.model_spec.version.value = 2
    versions = client.model.GetModelStatus(request).model_version_status
    assert [v.version for v in versions] == [2]
    request.model_spec.version.value = 3
    with pytest.raises(grpc.RpcError, match="Could not find version 3 of model m") as raised:
        client.model.GetModelStatus(request)
    assert raised.value.code().name == "NOT_FOUND"


def test_health(client):
    stub = health_pb2_grpc.HealthStub(client.channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        request = health_pb2.HealthCheckRequest(service=service)
        assert stub.Check(request).status == health_pb2.HealthCheckResponse.SERVING
