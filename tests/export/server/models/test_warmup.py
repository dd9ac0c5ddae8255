"""Warm-up records of every kind are run before a model serves."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, prediction_log_pb2, regression_pb2

from podway.export.server.error import ServerError
from podway.export.server.models import warmup
from podway.export.server.runtime import servable
from tests.export.server.conftest import WARMUP, predict_request
from tests.export.server.example_model import CLASSIFY, REGRESS, example, given, write_model
from tests.export.server.runtime.test_classify_regress import multi

GOOD = given(example(x=[1.0, 2.0]), example(x=[3.0, 4.0]))
BAD = given(example(x=[1.0]))


def classify(input_, signature=""):
    request = classification_pb2.ClassificationRequest(input=input_)
    request.model_spec.signature_name = signature
    return "classify_log", request


def regress(input_, signature="regress"):
    request = regression_pb2.RegressionRequest(input=input_)
    request.model_spec.signature_name = signature
    return "regress_log", request


def multi_inference(input_, method=REGRESS):
    request = multi(("m", "", CLASSIFY), ("m", "regress", method), input_=input_)
    return "multi_inference_log", request


def log(kind, request):
    record = prediction_log_pb2.PredictionLog()
    getattr(record, kind).request.CopyFrom(request)
    return record


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model") / "1"
    write_model(directory)
    (directory / WARMUP).parent.mkdir()
    loaded = servable.load(directory)
    yield loaded
    loaded.close()


def replay(model, *records):
    with tf.io.TFRecordWriter(str(model.directory / WARMUP)) as writer:
        for record in records:
            writer.write(record.SerializeToString())
    return warmup.replay(model)


def test_every_kind_is_replayed(model):
    predict = "predict_log", predict_request(signature="predict", x=[1.0])
    kinds = [predict, classify(GOOD), regress(GOOD), multi_inference(GOOD)]
    assert replay(model, *[log(*kind) for kind in kinds]) == 4
    assert replay(model, prediction_log_pb2.PredictionLog()) == 1  # of no kind: passed over


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (log(*classify(BAD)), "Key: x"),
        (log(*classify(given())), "Input is empty."),
        (log(*classify(GOOD, "regress")), "at least one of"),
        (log(*classify(GOOD, "odd_type")), "Expected scores Tensor of DT_FLOAT"),
        (log(*regress(BAD)), "Key: x"),
        (log(*regress(GOOD, "odd_regress_rank")), "Expected output Tensor shape"),
        (log(*multi_inference(BAD)), "Key: x"),
        (log(*multi_inference(GOOD, CLASSIFY)), "at least one of"),
        (
            prediction_log_pb2.PredictionLog(session_run_log=prediction_log_pb2.SessionRunLog()),
            "Unsupported log_type for warmup: session_run_log",
        ),
    ],
)
def test_a_record_that_cannot_be_run_is_named(model, record, said):
    with pytest.raises(ServerError, match=r"record 2: ") as raised:
        replay(model, log(*classify(GOOD)), record)
    assert said in str(raised.value)
