"""While the first models are loaded: UNAVAILABLE, never NOT_FOUND; /livez, /readyz, HEAD, CORS."""

import http.client
import os
import threading

import grpc
import pytest

from podway.export import layout
from tests.export.server.conftest import predict_request, running

PREDICT = "/v1/models/m:predict"
BODY = {"instances": [["a"]]}


def ask(client, method: str, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", client.rest_port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


@pytest.fixture
def loading(site):
    """A version whose load cannot go on before its manifest, a pipe, is written and closed."""
    site.put(1)
    pipe = site.root / "m" / "1" / layout.MANIFEST
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)
    site.ask_for_versions(1, more='version_labels { key: "stable" value: 1 }')
    released = threading.Event()

    def release() -> None:
        if not released.is_set():
            released.set()
            pipe.write_text("{}")

    yield site, release
    release()


def test_until_the_first_version_serves_the_answer_is_try_again(loading):
    site, release = loading
    with running(site) as client:
        try:
            client.wait_for(lambda: client.states() == {1: "LOADING"})
            for path in (
                PREDICT,
                "/v1/models/m/versions/1:predict",
                "/v1/models/m/labels/stable:predict",
            ):
                status, answer = client.rest(path, BODY)
                assert (status, answer["error"]) == (
                    503,
                    "model m is being loaded; try again soon",
                )
            for version in (None, 1):
                with pytest.raises(grpc.RpcError) as raised:
                    client.prediction.Predict(predict_request(version=version, history=[["a"]]))
                assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
            for path in ("/v1/models/m/versions/7:predict", "/v1/models/other:predict"):
                assert client.rest(path, BODY)[0] == 404  # what never comes
            assert client.rest("/livez") == (200, {"status": "ok"})
            assert client.rest("/readyz") == (503, {"error": "not available yet: m"})
            assert ask(client, "HEAD", "/readyz")[:2] == (503, b"")
        finally:
            release()
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        assert client.rest("/readyz") == (200, {"status": "ok"})
        assert client.rest(PREDICT, BODY)[0] == 200
        site.ask_for_versions(1, 2)
        assert client.rest("/v1/models/m/versions/2:predict", BODY)[0] == 404


def test_a_first_version_that_is_tried_again_says_why(site):
    broken = site.put(1)
    (broken / "saved_model.pb").write_bytes(b"no graph")
    site.ask_for_versions(1)
    options = {"max_num_load_retries": 1, "load_retry_interval_micros": 2_000_000}
    with running(site, **options) as client:
        client.wait_for(lambda: "after it failed" in client.rest(PREDICT, BODY)[1]["error"])
        assert client.rest(PREDICT, BODY)[0] == 503
        client.wait_for(lambda: client.states() == {1: "END"})
        assert client.rest(PREDICT, BODY)[0] == 404
        assert client.rest("/readyz")[0] == 503


def test_head_is_get_without_a_body(client):
    for path in ("/v1/models/m", "/v1/models/m/metadata", "/livez", "/readyz", "/v1/models/none"):
        status, body, headers = ask(client, "GET", path)
        assert body
        assert ask(client, "HEAD", path)[:2] == (status, b"")
        assert ask(client, "HEAD", path)[2]["Content-Length"] == headers["Content-Length"]


def test_pages_of_other_origins_may_call_where_the_flag_says_so(site, client):
    origin = "https://shop.example"
    site.put(1)
    site.ask_for_versions(1)
    with running(site, rest_api_enable_cors_support=True) as open_:
        open_.wait_for(lambda: open_.states() == {1: "AVAILABLE"})
        status, body, headers = ask(open_, "OPTIONS", PREDICT, Origin=origin)
        assert (status, body) == (200, b"")
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Access-Control-Allow-Methods"] == "POST, GET"
        assert headers["Access-Control-Allow-Headers"] == "Content-Type"
        status, body, _ = ask(open_, "OPTIONS", PREDICT)
        assert (status, b"Origin header is missing in CORS preflight" in body) == (400, True)
        for path in ("/v1/models/m", "/v1/models/none"):
            assert ask(open_, "GET", path)[2]["Access-Control-Allow-Origin"] == "*"
    assert ask(client, "OPTIONS", PREDICT, Origin=origin)[0] == 400
    assert "Access-Control-Allow-Origin" not in ask(client, "GET", "/v1/models/m")[2]
