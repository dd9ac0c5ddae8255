"""REST classify and regress, over plain HTTP."""

import json
import urllib.request

import pytest

from tests.export.server.example_model import served

CLASSIFY, REGRESS = "/v1/models/m:classify", "/v1/models/m:regress"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with served(tmp_path_factory.mktemp("examples")) as client:
        yield client


def raw(client, path, body: str) -> str:
    """The answer as it is written."""
    url = f"http://127.0.0.1:{client.rest_port}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, body.encode()), timeout=20) as answer:
        assert answer.headers["Content-Type"].startswith("application/json")
        return answer.read().decode()


def regress(*examples, **more):
    return {"signature_name": "regress", "examples": list(examples), **more}


def test_classify(client):
    body = {"examples": [{"x": [1.0, 0.5]}, {"x": [3.0, -1.5], "tag": ["a", "c"]}]}
    wanted = [[["none", 1.0], ["b", 0.5]], [["a", 3.0], ["b", -1.5]]]
    assert client.rest(CLASSIFY, body) == (200, {"results": wanted})
    assert client.rest("/v1/models/m/versions/1:classify", body) == (200, {"results": wanted})
    assert client.rest("/V1/Models/m:classify", body) == (200, {"results": wanted})


def test_classify_without_classes_or_without_scores(client):
    body = {"examples": [{"x": [3.0, 0.1], "tag": "a"}]}
    answer = client.rest(CLASSIFY, {"signature_name": "scores", **body})
    assert answer == (200, {"results": [[["", 3.0], ["", 0.1]]]})
    answer = client.rest(CLASSIFY, {"signature_name": "classes", **body})
    assert answer == (200, {"results": [[["a", 0.0], ["b", 0.0]]]})


def test_regress(client):
    body = regress({"x": [1.5, 0.5]}, {"x": [3.0, -1.0], "bias": 10.5})
    assert client.rest(REGRESS, body) == (200, {"results": [3.5, 15.5]})
    body = regress({"x": [1.0, 0.5]}, {"x": [1.0, 0.5], "bias": [0.5]}, context={"bias": 100.0})
    assert client.rest(REGRESS, body) == (200, {"results": [102.5, 3.0]})
    assert client.rest(REGRESS, {**body, "signature_name": "column"})[1]["results"] == [102.5, 3.0]


def test_bytes_and_empty_lists(client):
    body = {"examples": [{"x": [0.5, 0.5], "tag": [{"b64": "w6k="}]}, {"x": [1.5, 0.5], "tag": []}]}
    assert client.rest(CLASSIFY, body)[1]["results"] == [
        [["é", 0.5], ["b", 0.5]],
        [["none", 1.5], ["b", 0.5]],
    ]


def test_numbers_that_json_lacks_go_both_ways(client):
    examples = '[{"x": [NaN, -Infinity]}, {"x": [Infinity, 1e99]}]'
    body = f'{{"signature_name": "scores", "examples": {examples}}}'
    text = raw(client, CLASSIFY, body)
    scores = text.split("results")[1].replace(" ", "")
    assert '["",NaN],["",-Infinity]' in scores
    assert '["",Infinity],["",Infinity]' in scores
    body = '{"signature_name": "regress", "examples": [{"x": [Infinity, 0.5]}]}'
    assert json.loads(raw(client, REGRESS, body)) == {"results": [float("inf")]}
    body = '{"signature_name": "predict", "instances": [NaN, Infinity, -Infinity, 1.5]}'
    written = raw(client, "/v1/models/m:predict", body).replace(" ", "").replace("\n", "")
    assert written == '{"predictions":[NaN,Infinity,-Infinity,3.0]}'


def test_a_float_is_its_shortest_text(client):
    body = '{"signature_name": "scores", "examples": [{"x": [0.1, 16777216.0]}]}'
    assert "0.1]" in raw(client, CLASSIFY, body).replace("\n", "")
    assert json.loads(raw(client, CLASSIFY, body))["results"] == [[["", 0.1], ["", 16777216.0]]]


ONE = {"x": [1.0, 0.5]}


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (CLASSIFY, b"", 400, "JSON Parse error: The document is empty"),
        (CLASSIFY, [1], 400, "Is not object"),
        (CLASSIFY, {}, 400, "key 'examples' is expected and was not found"),
        (CLASSIFY, {"examples": [{"\ud800": 1}]}, 400, "half of a surrogate pair"),
        (CLASSIFY, {"examples": 1}, 400, "Expecting 'examples' value to be an list/array"),
        (CLASSIFY, {"examples": []}, 400, "'examples' value is an empty array"),
        (CLASSIFY, {"examples": [], "context": ONE}, 400, "'examples' value is an empty array"),
        (CLASSIFY, {"examples": [1]}, 400, "Example must be JSON object but got JSON Number"),
        (CLASSIFY, {"examples": [[ONE]]}, 400, "Example must be JSON object but got JSON Array"),
        (CLASSIFY, {"examples": [ONE], "context": "a"}, 400, "but got JSON String"),
        (CLASSIFY, {"examples": [ONE], "signature_name": 1}, 400, "must be a string value"),
        (
            CLASSIFY,
            {"examples": [{"x": [1.5, "a"]}]},
            400,
            "Unexpected element type in feature: x expecting type: float",
        ),
        (CLASSIFY, {"examples": [{"x": [1.5, 1]}]}, 400, "feature: x expecting type: float"),
        (CLASSIFY, {"examples": [{"x": [1, 1.5]}]}, 400, "feature: x expecting type: int64"),
        (CLASSIFY, {"examples": [{"x": [True, "a"]}]}, 400, "feature: x expecting type: int64"),
        (CLASSIFY, {"examples": [{"x": ["a", True]}]}, 400, "feature: x expecting type: bytes"),
        (
            CLASSIFY,
            {"examples": [{"x": [None]}]},
            400,
            "Feature: x has element with unexpected JSON type: Null",
        ),
        (CLASSIFY, {"examples": [{"x": [[1.5]]}]}, 400, "unexpected JSON type: Array"),
        (CLASSIFY, {"examples": [{"x": {"b": 1}}]}, 400, "unexpected JSON type: Object"),
        (CLASSIFY, {"examples": [{"x": {"b64": "?"}}]}, 400, "Unable to base64 decode"),
        (CLASSIFY, {"examples": [{"x": {"b64": "é"}}]}, 400, "Unable to base64 decode"),
        (
            CLASSIFY,
            {"examples": [{"x": [1 << 63]}]},
            400,
            "Feature: x has uint64_t element. Only int64_t is supported.",
        ),
        (CLASSIFY, {"examples": [{"tag": ["a"]}]}, 400, "x"),  # the model wants it
        (CLASSIFY, {"examples": [{"x": [1.5]}]}, 400, "x"),  # and two values
        (CLASSIFY, {"examples": [{"x": [1, 2]}]}, 400, "x"),  # of floats
        (
            CLASSIFY,
            {"examples": [ONE], "signature_name": "y"},
            400,
            "No signature was found with the name: y",
        ),
        (REGRESS, {"examples": [ONE]}, 400, "Expected one output Tensor."),
        ("/v1/models/x:regress", {"examples": [ONE]}, 404, "Latest(x)"),
        ("/v1/models/m/labels/l:regress", {"examples": [ONE]}, 400, "version label: l"),
        ("/v1/models/m:regress", None, 400, "Malformed request: GET /v1/models/m:regress"),
    ],
)
def test_a_bad_request_is_an_error_and_the_server_goes_on(client, path, body, status, said):
    found, answer = client.rest(path, body)
    assert (found, list(answer)) == (status, ["error"])
    assert said in answer["error"]
    assert client.rest(CLASSIFY, {"examples": [ONE]})[0] == 200


def test_metadata_says_which_signatures_classify(client):
    definitions = client.rest("/v1/models/m/metadata")[1]["metadata"]["signature_def"]
    methods = {name: d["method_name"] for name, d in definitions["signature_def"].items()}
    assert methods["serving_default"] == "tensorflow/serving/classify"
    assert methods["regress"] == "tensorflow/serving/regress"
