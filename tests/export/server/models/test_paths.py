"""What a request names never becomes a file; a Unix socket, one model without a config file."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import contextlib
import os
import pathlib
import socket
import sys
import tempfile
import urllib.parse

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, prediction_service_pb2_grpc

from podway.export.server.error import ServerError
from podway.export.server.options import ANY
from podway.export.server.serve import ServerOptions, main
from tests.export.server.conftest import Site, predict_request, running

MARK = "ZZMARK"


def test_no_name_in_a_request_reaches_the_file_system(client):
    touched = []
    watching = True

    def hook(event: str, arguments: tuple) -> None:  # cannot be taken out again
        if watching and MARK in repr(arguments) and event.split(".")[0] in ("open", "os", "glob"):
            touched.append((event, arguments))

    sys.addaudithook(hook)
    try:
        for name in (f"../../{MARK}", f"/etc/{MARK}", f"m/../{MARK}", f"{MARK}\0", f"gs://{MARK}"):
            quoted = urllib.parse.quote(name, safe="")
            for path in (
                f"/v1/models/{quoted}",
                f"/v1/models/m/labels/{quoted}",
                f"/v1/models/{quoted}/metadata",
                f"/{name}".replace("\0", ""),
            ):
                assert client.rest(path)[0] in (400, 404)
            assert client.rest(f"/v1/models/{quoted}:predict", {"inputs": [["a"]]})[0] == 404
            body = {"signature_name": name, "inputs": [["a"]]}
            assert client.rest("/v1/models/m:predict", body)[0] == 400
            for request in (
                predict_request(name, history=[["a"]]),
                predict_request("m", name, history=[["a"]]),
            ):
                with pytest.raises(grpc.RpcError):
                    client.prediction.Predict(request, timeout=20)
            status = get_model_status_pb2.GetModelStatusRequest()
            status.model_spec.name = name
            with pytest.raises(grpc.RpcError):
                client.model.GetModelStatus(status, timeout=20)
        with pytest.raises(FileNotFoundError):
            pathlib.Path(f"/{MARK}").read_bytes()  # the hook does see what is opened
    finally:
        watching = False
    assert [event for event, _ in touched] == ["open"]


def test_a_version_of_thousands_of_digits_is_a_malformed_request(client):
    status, answer = client.rest(f"/v1/models/m/versions/{'9' * 5000}")
    assert (status, list(answer)) == (400, ["error"])
    assert client.rest(f"/v1/models/m/versions/{'9' * 20}")[0] == 400  # no int64, either
    assert client.rest(f"/v1/models/m/versions/{'9' * 18}")[0] == 404


def test_deeply_nested_json_is_refused(client):
    for depth in (70, 300, 900, 985, 990, 995, 1000, 5000):
        for body in (
            b'{"inputs":' + b"[" * depth + b"]" * depth + b"}",
            b'{"instances":[' + b'{"a":' * depth + b"1" + b"}" * depth + b"]}",
        ):
            status, answer = client.rest("/v1/models/m:predict", body)
            assert (status, list(answer)) == (400, ["error"]), depth


@pytest.fixture
def socket_path():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield os.path.join(folder, "grpc.sock")


def test_a_unix_socket_serves_beside_the_port(site, socket_path):
    site.put(1)
    site.ask_for_versions(1)
    with running(site, grpc_socket_path=socket_path) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        assert by_socket(socket_path) == b"v1"
        client.prediction.Predict(predict_request(history=[["a"]]), timeout=20)
    assert os.listdir(os.path.dirname(socket_path)) == []


def by_socket(path: str) -> bytes:
    """Which version a new connection to the socket finds."""
    with grpc.insecure_channel(f"unix:{path}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(predict_request(history=[["a"]]), timeout=20, wait_for_ready=True)
        return answer.outputs["item"].string_val[1]


def test_a_socket_in_use_is_taken_over(site, socket_path):
    """As gRPC's own servers do it; and the old server's end does not take the new one's away."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(socket_path)  # what a killed server leaves
    site.put(1)
    site.put(2)
    site.ask_for_versions(1)
    with contextlib.ExitStack() as old, contextlib.ExitStack() as new:
        client = old.enter_context(running(site, grpc_socket_path=socket_path))
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        assert by_socket(socket_path) == b"v1"
        other = Site(site.root / "other", site.library)
        (other.root / "m").mkdir(parents=True)
        other.put(2)
        other.ask_for_versions(2)
        successor = new.enter_context(running(other, grpc_socket_path=socket_path))
        successor.wait_for(lambda: successor.states() == {2: "AVAILABLE"})
        assert by_socket(socket_path) == b"v2"
        old.close()
        assert by_socket(socket_path) == b"v2"
    assert os.listdir(os.path.dirname(socket_path)) == []


def test_a_socket_that_cannot_be_made_is_one_sentence(site):
    site.ask_for_versions(1)
    for path, said in [
        ("/nowhere/s", "No such file"),
        ("/tmp/" + "s" * 200, "longer than 107 bytes"),
        (str(site.config), "exists and is no socket"),
    ]:
        with pytest.raises(ServerError, match=said):
            main(ServerOptions(str(site.config), port=ANY, grpc_socket_path=path))
    assert site.config.is_file()


def test_one_model_without_a_config_file(site):
    site.put(1)
    site.put(2)
    options = {"model_config_file": "", "model_name": "m", "model_base_path": str(site.root / "m")}
    with running(site, **options) as client:
        client.wait_for(lambda: client.states() == {2: "AVAILABLE"})
        site.put(3)
        client.wait_for(lambda: client.states() == {2: "END", 3: "AVAILABLE"})
    with pytest.raises(ServerError, match="model_base_path /nowhere does not exist"):
        main(ServerOptions(model_base_path="/nowhere", port=ANY))
