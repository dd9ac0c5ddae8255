"""Classify, Regress and MultiInference by TensorFlow Serving's own stubs."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import threading

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, regression_pb2

from podway.export.server.error import RequestError
from podway.export.server.limits import Limits
from podway.export.server.runtime import classify_regress, servable
from tests.export.server.conftest import predict_request
from tests.export.server.example_model import (
    CLASSIFY,
    PREDICT,
    REGRESS,
    example,
    given,
    served,
    write_model,
)

ONE = example(x=[1.0, 0.5])
TWO = example(x=[3.0, -1.0], bias=[10.0], tag=["a", "c"])


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with served(tmp_path_factory.mktemp("examples")) as client:
        yield client


def ask(client, input_, signature="", model="m", kind="Classify"):
    kinds = {
        "Classify": classification_pb2.ClassificationRequest,
        "Regress": regression_pb2.RegressionRequest,
    }
    request = kinds[kind](input=input_)
    request.model_spec.name, request.model_spec.signature_name = model, signature
    return getattr(client.prediction, kind)(request, timeout=20)


def classes(result):
    return [[(c.label, c.score) for c in row.classes] for row in result.classifications]


def values(result):
    return [row.value for row in result.regressions]


def test_classify_gives_labels_and_scores_of_each_example(client):
    response = ask(client, given(ONE, TWO))
    assert classes(response.result) == [[("none", 1.0), ("b", 0.5)], [("a", 3.0), ("b", -1.0)]]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 1, "serving_default")


def test_classify_of_a_model_without_scores_or_without_classes(client):
    assert classes(ask(client, given(TWO), "classes").result) == [[("a", 0.0), ("b", 0.0)]]
    assert classes(ask(client, given(TWO), "scores").result) == [[("", 3.0), ("", -1.0)]]


@pytest.mark.parametrize("signature", ["regress", "column", "tf2"])
def test_regress_gives_a_number_for_each_example(client, signature):
    response = ask(client, given(ONE, TWO), signature, kind="Regress")
    assert values(response.result) == [2.5, 15.0]
    assert response.model_spec.signature_name == signature


def test_the_context_is_part_of_each_example_which_has_the_last_word(client):
    context = example(bias=[100.0], tag=["k"])
    input_ = given(ONE, TWO, context=context)
    assert values(ask(client, input_, "regress", kind="Regress").result) == [102.5, 15.0]
    assert classes(ask(client, input_).result)[0][0] == ("k", 1.0)
    assert classes(ask(client, input_).result)[1][0] == ("a", 3.0)


def test_requests_at_the_same_time_each_get_their_own(client):
    answers, threads = {}, []

    def one(number):
        input_ = given(*[example(x=[number, row]) for row in range(number % 3 + 1)])
        answers[number] = values(ask(client, input_, "regress", kind="Regress").result)

    for number in range(40):
        threads.append(threading.Thread(target=one, args=(number,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert answers == {n: [2.0 * n + row for row in range(n % 3 + 1)] for n in range(40)}


def multi(*tasks, input_=None):
    request = inference_pb2.MultiInferenceRequest(input=input_ or given(ONE, TWO))
    for model, signature, method in tasks:
        task = request.tasks.add(method_name=method)
        if model is not None:
            task.model_spec.name, task.model_spec.signature_name = model, signature
    return request


def test_multi_inference_answers_each_task_in_order(client):
    request = multi(("m", "regress", REGRESS), ("m", "", CLASSIFY), ("m", "column", REGRESS))
    results = client.prediction.MultiInference(request).results
    assert values(results[0].regression_result) == [2.5, 15.0]
    assert classes(results[1].classification_result)[1] == [("a", 3.0), ("b", -1.0)]
    assert values(results[2].regression_result) == [2.5, 15.0]
    named = [(r.model_spec.name, r.model_spec.signature_name) for r in results]
    assert named == [("m", "regress"), ("m", "serving_default"), ("m", "column")]
    assert {r.model_spec.version.value for r in results} == {1}


def fails(call, code, said):
    with pytest.raises(grpc.RpcError) as raised:
        call()
    assert raised.value.code() == code
    assert said in raised.value.details()


INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("kind", ["Classify", "Regress"])
@pytest.mark.parametrize(
    "input_",
    [input_pb2.Input(), given(), given(context=TWO)],
    ids=["no kind", "no examples", "only a context"],
)
def test_no_examples_are_no_request(client, kind, input_):
    signature = "regress" if kind == "Regress" else ""
    fails(lambda: ask(client, input_, signature, kind=kind), INVALID, "Input is empty.")


@pytest.mark.parametrize(
    ("kind", "signature", "said"),
    [
        ("Classify", "x", "No signature was found with the name: x"),
        ("Regress", "x", "No signature was found with the name: x"),
        ("Classify", "odd_inputs", "Expected one input Tensor."),
        ("Classify", "odd_name", "No classification inputs found in SignatureDef: "),
        ("Classify", "odd_outputs", 'contain at least one of "classes" or "scores".'),
        ("Classify", "predict", "No classification inputs found in SignatureDef: "),
        ("Classify", "regress", 'contain at least one of "classes" or "scores".'),
        ("Classify", "odd_rank", "Expected Tensor shape: [batch_size num_classes] but got [1]"),
        ("Classify", "odd_type", "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
        ("Classify", "odd_classes", "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
        ("Classify", "odd_width", "should match in dim_size(1). Got 1 vs. 2"),
        ("Regress", "", "Expected one output Tensor."),
        ("Regress", "odd_inputs", "Expected one input Tensor."),
        ("Regress", "predict", "No regression inputs found in SignatureDef: "),
        ("Regress", "scores", "No regression outputs found in SignatureDef: "),
        ("Regress", "odd_regress_rank", "either [batch_size] or [batch_size, 1] but got [1,2]"),
        ("Regress", "odd_regress_type", "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
        ("Regress", "odd_plain", "string"),
    ],
)
def test_a_signature_that_does_not_fit(client, kind, signature, said):
    fails(lambda: ask(client, given(ONE), signature, kind=kind), INVALID, said)
    assert ask(client, given(ONE)).result.classifications  # the server goes on


def test_one_bad_example_fails_its_own_request_only(client):
    good, bad = given(ONE), given(ONE, example(x=[1.0]))
    calls = []
    for number in range(30):
        request = regression_pb2.RegressionRequest(input=bad if number % 5 == 0 else good)
        request.model_spec.name, request.model_spec.signature_name = "m", "regress"
        calls.append(client.prediction.Regress.future(request, timeout=20))
    for number, call in enumerate(calls):
        if number % 5 == 0:
            assert call.exception().code() == INVALID
        else:
            assert values(call.result().result) == [2.5]


def test_outputs_of_other_rows_than_the_examples(client):
    said = "Expected scores output batch size of 2. Got: 1"
    fails(lambda: ask(client, given(ONE, TWO), "odd_rows"), INVALID, said)
    said = "Input batch size did not match output batch size: 2 vs. 1"
    input_ = given(ONE, TWO)
    fails(lambda: ask(client, input_, "odd_regress_rows", kind="Regress"), INVALID, said)


def test_examples_that_the_model_cannot_read(client):
    fails(lambda: ask(client, given(example(bias=[1.0]))), INVALID, "x")  # missing
    fails(lambda: ask(client, given(example(x=[1.0]))), INVALID, "x")  # too short
    fails(lambda: ask(client, given(example(x=["a", "b"]))), INVALID, "x")  # of another type
    assert classes(ask(client, given(example(x=[1.0, 2.0], tag=[]))).result)[0][0][0] == "none"


def test_a_label_that_is_not_text_is_answered_all_the_same(client):
    assert classes(ask(client, given(ONE), "odd_text").result) == [[("caf\ufffd", 0.0)]]


def test_a_model_that_is_not_named_or_not_there(client):
    fails(lambda: ask(client, given(ONE), model=""), INVALID, "ModelSpec has no name specified.")
    not_found = grpc.StatusCode.NOT_FOUND
    fails(lambda: ask(client, given(ONE), model="x"), not_found, "Latest(x)")
    request = regression_pb2.RegressionRequest(input=given(ONE))
    fails(lambda: client.prediction.Regress(request), INVALID, "Missing ModelSpec")


@pytest.mark.parametrize(
    ("tasks", "code", "said"),
    [
        ([], INVALID, "ModelSpec has no name specified."),
        ([(None, "", CLASSIFY)], INVALID, "ModelSpec has no name specified."),
        ([("x", "", CLASSIFY)], grpc.StatusCode.NOT_FOUND, "Latest(x)"),
        ([("m", "", CLASSIFY), ("", "", REGRESS)], INVALID, "an empty model name"),
        ([("m", "", CLASSIFY), ("n", "", REGRESS)], INVALID, "must access the same model name"),
        (
            [("m", "", CLASSIFY), ("m", "serving_default", CLASSIFY)],
            INVALID,
            "Duplicate evaluation of signature: serving_default",
        ),
        ([("m", "x", CLASSIFY)], INVALID, "signature not found in model graph: x"),
        ([("m", "x", PREDICT)], INVALID, "signature not found in model graph: x"),
        (
            [("m", "predict", PREDICT)],
            grpc.StatusCode.UNIMPLEMENTED,
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        ([("m", "", REGRESS)], INVALID, "Expected one output Tensor."),
        ([("m", "regress", CLASSIFY)], INVALID, "at least one of"),
    ],
)
def test_tasks_that_cannot_be_answered(client, tasks, code, said):
    fails(lambda: client.prediction.MultiInference(multi(*tasks)), code, said)


def test_multi_inference_without_examples(client):
    request = multi(("m", "", CLASSIFY), input_=input_pb2.Input())
    fails(lambda: client.prediction.MultiInference(request), INVALID, "Input is empty.")


def test_predict_of_the_same_model(client):
    response = client.prediction.Predict(predict_request(signature="predict", x=[1.5]))
    assert list(response.outputs["y"].float_val) == [3.0]


def test_a_signature_that_cannot_run_takes_none_of_the_others_with_it(client):
    request = predict_request(signature="odd_same", x=[1.5])
    fails(lambda: client.prediction.Predict(request), INVALID, "both fed and fetched")
    assert ask(client, given(ONE)).result.classifications


def test_an_error_that_quotes_what_is_no_text(tmp_path):
    write_model(tmp_path / "1")
    model = servable.load(tmp_path / "1")
    with pytest.raises(RequestError, match="Could not parse example input") as raised:
        model.signature("").run([np.array([b"\xd0\xff"], object)])
    model.close()
    assert raised.value.code == INVALID


def test_examples_and_their_context_are_bounded():
    """Each example gets the context: a long one of many would be many times as long as it came."""
    many = given(*[ONE] * 4)
    with pytest.raises(RequestError, match=r"4 rows, more than 3 \(--max_request_rows\)"):
        classify_regress.serialize(many, Limits(rows=3))
    within = input_pb2.Input()
    within.example_list_with_context.examples.extend([ONE] * 100)
    within.example_list_with_context.context.CopyFrom(example(x=[1.0] * 1000))
    assert len(classify_regress.serialize(within)) == 100
    with pytest.raises(RequestError, match=r"\(--max_request_bytes\)"):
        classify_regress.serialize(within, Limits(request_bytes=100_000))
