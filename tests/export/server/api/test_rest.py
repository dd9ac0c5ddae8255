import pytest

PREDICT = "/v1/models/m:predict"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (
            {"instances": [{"history": ["a", "b"]}, {"history": ["c", ""]}]},
            {
                "predictions": [
                    {"item": ["a", "v2"], "score": [2.0, 0.2]},
                    {"item": ["c", "v2"], "score": [1.0, 0.2]},
                ]
            },
        ),
        (  # one input: its name may be left out
            {"instances": [["a"]]},
            {"predictions": [{"item": ["a", "v2"], "score": [1.0, 0.2]}]},
        ),
        (
            {"inputs": {"history": [["a"]]}, "signature_name": "serving_default"},
            {"outputs": {"item": [["a", "v2"]], "score": [[1.0, 0.2]]}},
        ),
        ({"inputs": [["a"]]}, {"outputs": {"item": [["a", "v2"]], "score": [[1.0, 0.2]]}}),
        (
            {"instances": [{"history": [{"b64": "w6k="}]}]},
            {"predictions": [{"item": ["é", "v2"], "score": [1.0, 0.2]}]},
        ),
        (
            {"instances": [{"history": []}]},
            {"predictions": [{"item": ["", "v2"], "score": [0.0, 0.2]}]},
        ),
        (  # an output named …_bytes is base64: "10" is MTA=
            {"signature_name": "two", "instances": [{"a": [1, 2.5, 3], "b": 10}]},
            {"predictions": [{"sum": [11.0, 12.5, 13.0], "name_bytes": {"b64": "MTA="}}]},
        ),
        (  # one output: its name is left out
            {"signature_name": "slow", "inputs": {"turns": 1}},
            {"outputs": 1},
        ),
    ],
)
@pytest.mark.contract
def test_predict(client, body, answer):
    assert client.rest(PREDICT, body) == (200, answer)


@pytest.mark.contract
def test_predict_of_a_version_and_of_a_label(client):
    for path in ("/v1/models/m/versions/1:predict", "/v1/models/m/labels/stable:predict"):
        status, answer = client.rest(path, {"inputs": [["a"]]})
        assert (status, answer["outputs"]["item"]) == (200, [["a", "v1"]])


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (PREDICT, b"", 400, "JSON Parse error: The document is empty"),
        (PREDICT, b'{"instances": [', 400, "JSON Parse error: Expecting value at offset: 15"),
        (PREDICT, b"\xff", 400, "JSON Parse error"),
        (PREDICT, b"[" * 100_000, 400, "JSON Parse error"),
        (PREDICT, {"inputs": [["a"]], "x": "\ud800"}, 400, "half of a surrogate pair"),
        (PREDICT, b'{"inputs": [["\xed\xa0\x80"]]}', 400, "half of a surrogate pair"),
        (PREDICT, [1], 400, "Is not object"),
        (PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
        (PREDICT, {"instances": [], "inputs": []}, 400, "only one of 'inputs' or 'instances'"),
        (PREDICT, {"instances": []}, 400, "No values in 'instances' array"),
        (PREDICT, {"instances": "a"}, 400, "Expecting 'instances' to be an list/array"),
        (PREDICT, {"instances": [["a"]], "signature_name": 1}, 400, "must be a string value"),
        (PREDICT, {"instances": [["a"]], "signature_name": "x"}, 400, '"x" not found'),
        (PREDICT, {"instances": [{"h": ["a"]}]}, 400, "keys must be equal to: history"),
        (PREDICT, {"instances": [{"history": ["a"]}, ["a"]]}, 400, "but got list at item 1"),
        (PREDICT, {"instances": [["a"], {"history": ["a"]}]}, 400, "got object at item 1"),
        (PREDICT, {"instances": [["a"], ["a", "b"]]}, 400, "expected a list of 1 at level 1"),
        (PREDICT, {"instances": [["a", ["b"]]]}, 400, "not of expected type: string"),
        (PREDICT, {"instances": [["a", 1]]}, 400, "JSON Value: 1 is not of expected type: string"),
        (PREDICT, {"instances": [[{"b64": "?"}]]}, 400, "Unable to base64 decode"),
        (PREDICT, {"instances": ["a"]}, 400, "signature 'serving_default': "),
        (PREDICT, {"inputs": {"h": [["a"]]}}, 400, "Missing but required: {history}"),
        (
            PREDICT,
            {"signature_name": "two", "instances": [[1, 2, 3]]},
            400,
            "expecting list of objects",
        ),
        (
            PREDICT,
            {"signature_name": "two", "inputs": {"a": [[1, 2, 3]], "b": [1.5]}},
            400,
            "input 'b': JSON Value: 1.5 is not of expected type: int32",
        ),
        (
            PREDICT,
            {"signature_name": "two", "inputs": {"a": [[1, 2, True]], "b": [1]}},
            400,
            "input 'a': JSON Value: true",
        ),
        (
            PREDICT,
            {"signature_name": "two", "inputs": {"a": [[1, 2, 3]], "b": [1 << 40]}},
            400,
            "input 'b'",
        ),
        (
            PREDICT,
            {"signature_name": "slow", "instances": [1]},
            400,
            "signature 'slow': ",
        ),
        ("/v1/models/x:predict", {"inputs": [["a"]]}, 404, "request: Latest(x)"),
        ("/v1/models/m/versions/7:predict", {"inputs": [["a"]]}, 404, "Specific(m, 7)"),
        ("/v1/models/m/labels/x:predict", {"inputs": [["a"]]}, 400, "version label: x"),
        ("/v1/models/m:explain", {}, 400, "Malformed request: POST /v1/models/m:explain"),
        ("/v1/models/x", None, 404, "Could not find any versions of model x"),
        ("/v1/models/m/versions/7", None, 404, "Could not find version 7 of model m"),
        ("/v1/models/m:Predict", {}, 400, "Malformed request: POST /v1/models/m:Predict"),
        ("/v1/models", None, 400, "Missing model name in request."),
        (f"/v1/models/m/versions/{1 << 63}", None, 400, "Failed to convert version: 92233720"),
        (f"/v1/models/m/versions/{'9' * 5000}", None, 400, "Failed to convert version: 999"),
        ("/v1", None, 404, "Not Found: GET /v1"),
        ("/v2/models/m", None, 404, "Not Found: GET /v2/models/m"),
    ],
)
def test_a_bad_request_is_one_sentence_and_the_server_goes_on(client, path, body, status, said):
    found, answer = client.rest(path, body)
    assert (found, list(answer)) == (status, ["error"])
    assert said in answer["error"]
    assert "\n" not in answer["error"]
    assert client.rest(PREDICT, {"inputs": [["a"]]})[0] == 200


@pytest.mark.contract
def test_status(client):
    entry = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    versions = [{"version": "1", **entry}, {"version": "2", **entry}]
    assert client.rest("/v1/models/m") == (200, {"model_version_status": versions})
    assert client.rest("/v1/models/m/versions/2") == (200, {"model_version_status": versions[1:]})


@pytest.mark.contract
def test_metadata(client):
    status, answer = client.rest("/v1/models/m/versions/1/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "m", "signature_name": "", "version": "1"}
    definitions = answer["metadata"]["signature_def"]["signature_def"]
    history = definitions["serving_default"]["inputs"]["history"]
    assert history["dtype"] == "DT_STRING"
    assert [dim["size"] for dim in history["tensor_shape"]["dim"]] == ["-1", "-1"]


@pytest.mark.contract
def test_a_large_request_passes(client):
    body = {"inputs": [["x" * 100] * 20_000]}  # 2 MB
    status, answer = client.rest(PREDICT, body)
    assert (status, answer["outputs"]["score"]) == (200, [[20_000.0, 0.2]])
