"""The model decides what shapes it takes; unequal lists are padded where it says how."""

import json

import numpy as np
import pytest
import tensorflow as tf

from podway.export import layout
from podway.export.server.api import rest_json
from podway.export.server.batching import merge
from podway.export.server.batching.parameters import BatchingParameters
from podway.export.server.error import RequestError
from podway.export.server.runtime import servable
from tests.export.server.conftest import Site, predict_request, running

PREDICT = "/v1/models/m:predict"


def write_half_plus_two(directory) -> None:
    """TensorFlow Serving's first model, whose signature speaks of [batch, 1]."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, name="x")
        y = x * 0.5 + 2.0
        x.set_shape([None, 1])  # what the signature will say; the graph takes any
        y.set_shape([None, 1])
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def(
            {"x": info(x)}, {"y": info(y)}, "tensorflow/serving/predict"
        )
        builder = v1.saved_model.Builder(str(directory))
        builder.add_meta_graph_and_variables(
            session, ["serve"], signature_def_map={"serving_default": signature}
        )
        builder.save()


@pytest.fixture(scope="module")
def half_plus_two(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("half"), {})
    write_half_plus_two(site.root / "m" / "00000123")
    site.ask_for("latest {}")
    with running(site) as client:
        client.wait_for(lambda: client.states() == {123: "AVAILABLE"})
        yield client


def test_the_documented_example(half_plus_two):
    """Of tensorflow.org/tfx/serving/docker: three scalars for a signature of [batch, 1]."""
    for body, answer in (
        ({"instances": [1.0, 2.0, 5.0]}, {"predictions": [2.5, 3.0, 4.5]}),
        ({"instances": [[1.0], [2.0]]}, {"predictions": [[2.5], [3.0]]}),
        ({"inputs": 1.0}, {"outputs": 2.5}),
        ({"inputs": [[[1.0, 2.0]]]}, {"outputs": [[[2.5, 3.0]]]}),
    ):
        assert half_plus_two.rest(PREDICT, body) == (200, answer)
    response = half_plus_two.prediction.Predict(predict_request(x=np.float32([1, 2, 5])))
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [2.5, 3.0, 4.5]
    assert response.model_spec.version.value == 123


def test_names_and_types_are_checked_all_the_same(half_plus_two):
    status, answer = half_plus_two.rest(PREDICT, {"instances": ["1.0"]})
    assert (status, "not of expected type: float" in answer["error"]) == (400, True)
    status, answer = half_plus_two.rest(PREDICT, {"inputs": {"z": [1.0]}})
    assert (status, "Missing but required: {x}" in answer["error"]) == (400, True)


@pytest.mark.parametrize("pads", [False, True])
def test_only_what_has_one_shape_shares_a_run(tmp_path, pads):
    """A request of another rank than the signature's neither joins nor spoils the others."""
    write_half_plus_two(tmp_path / "1")
    signature = servable.load(tmp_path / "1").signature("")
    parameters = BatchingParameters(pad_variable_length_inputs=pads)
    arrays = [np.ones(shape, np.float32) for shape in ((), (2,), (2, 1), (2, 1, 1), (2, 3))]
    keys = [merge.key_of([array], signature, parameters) for array in arrays]
    assert keys[0] is None
    assert len({*keys}) == len(keys)
    assert merge.key_of([np.ones((5, 1), np.float32)], signature, parameters) == keys[2]


@pytest.fixture
def padded(site):
    """A recommender whose exporter says that "" lengthens a history."""
    path = site.put(1) / layout.MANIFEST
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"details": {"padding": {"serving_default": {"history": ""}}}}))
    site.ask_for("all {}")
    return site


def test_lists_of_unequal_length_are_padded_where_the_signature_says_how(padded):
    with running(padded) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        for body in (
            {"instances": [["a"], ["b", "c"], []]},
            {"instances": [{"history": ["a"]}, {"history": ["b", "c"]}, {"history": []}]},
        ):
            status, answer = client.rest(PREDICT, body)
            assert status == 200
            rows = answer["predictions"]
            assert [(row["item"][0], row["score"][0]) for row in rows] == [
                ("a", 1.0),
                ("b", 2.0),
                ("", 0.0),
            ]
        status, answer = client.rest(PREDICT, {"inputs": [["a"], ["b", "c"]]})
        assert (status, answer["outputs"]["score"][0][0]) == (200, 1.0)
        status, answer = client.rest(PREDICT, {"instances": [["a"], ["b", ["c"]]]})
        assert (status, "not of expected type: string" in answer["error"]) == (400, True)


def test_padding_makes_no_large_request_of_a_small_one(padded):
    signature = servable.load(padded.root / "m" / "1").signature("")
    rows = [["a"] * 3_000, *([["a"]] * 3_000)]
    with pytest.raises(
        RequestError, match=r"3001 lists padded to the longest, 3000, are more than"
    ):
        rest_json.parse(json.dumps({"instances": rows}).encode(), lambda name: signature)


def test_without_a_word_of_the_signature_they_are_refused(site):
    signature = servable.load(site.put(1)).signature("")
    body = json.dumps({"instances": [["a"], ["b", "c"]]}).encode()
    with pytest.raises(RequestError, match="expected a list of 1 at level 1"):
        rest_json.parse(body, lambda name: signature)
