"""docs/security.md: what a model may do, and the proxy in front, as the page has it."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from tests.export.server.conftest import ROOT, free_port, predict_request, running
from tests.export.server.net.keys import Trust, identity

PAGE = ROOT / "docs" / "security.md"


def test_a_model_reads_and_writes_files(site, tmp_path):
    secret, written = tmp_path / "secret", tmp_path / "written"
    secret.write_text("of the machine")

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="x")])
        def answer(self, x):
            with tf.control_dependencies([tf.io.write_file(str(written), x[0])]):
                return {"found": tf.fill(tf.shape(x), tf.io.read_file(str(secret)))}

    model = Model()
    tf.saved_model.save(
        model, str(site.root / "m" / "1"), signatures={"serving_default": model.answer}
    )
    site.ask_for_versions(1)
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        _, answer = client.rest("/v1/models/m:predict", {"inputs": ["by the client"]})
    assert answer == {"outputs": ["of the machine"]}
    assert written.read_text() == "by the client"


class Proxy:
    """nginx with the page's configuration, before a server."""

    def __init__(self, port: int, trust: Trust):
        self.port, self.trust = port, trust

    def rest(self, path, body=None, token=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"https://localhost:{self.port}{path}", data, headers)
        with contextlib.closing(self._open(request)) as answer:
            return answer.status, answer.read()

    def _open(self, request):
        try:
            return urllib.request.urlopen(request, timeout=20, context=self.trust.https)
        except urllib.error.HTTPError as error:
            return error

    def channel(self):
        return grpc.secure_channel(f"localhost:{self.port}", self.trust.grpc)


def configuration(folder: pathlib.Path, ports: dict[str, int]) -> str:
    """The page's, with other ports and files, and folders that this user may write."""
    found = re.search(r"^```nginx\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    text = found[1].replace("/etc/podway", str(folder))
    for usual, port in ports.items():
        assert usual in text
        text = text.replace(usual, str(port))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    return text.replace("http {", f"http {{ access_log off; {places}")


@pytest.fixture
def proxy(site, tmp_path):
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed: apt-get install nginx")
    authority = identity("authority")
    own, folder = identity("server", authority), tmp_path / "nginx"
    folder.mkdir()
    (folder / "server.pem").write_bytes(own.pem)
    (folder / "server.key").write_bytes(own.key_pem)
    site.put(1)
    site.ask_for_versions(1)
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        port = free_port()
        ports = {"8443": port, "8500": client.grpc_port, "8501": client.rest_port}
        (folder / "nginx.conf").write_text(configuration(folder, ports))
        options = f"daemon off; pid {folder}/pid; error_log stderr;"
        command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", options]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, stderr=log)
        try:
            made = Proxy(port, Trust(authority))
            for _ in range(200):
                with contextlib.suppress(urllib.error.URLError):
                    made.rest("/")
                    break
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
            yield made
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_the_proxy_lets_clients_with_a_token_ask_and_nothing_else(proxy):
    status, answer = proxy.rest(
        "/v1/models/m:predict", {"inputs": [["a"]]}, token="TOKEN-OF-THE-SHOP"
    )
    assert (status, json.loads(answer)["outputs"]["item"]) == (200, [["a", "v1"]])
    for token in (None, "TOKEN-OF-THE-SHOp", ""):
        assert proxy.rest("/v1/models/m:predict", {"inputs": [["a"]]}, token=token)[0] == 401
    for path in ("/readyz", "/monitoring/prometheus/metrics", "/v1/models/../../readyz"):
        assert proxy.rest(path, token="TOKEN-OF-THE-SHOP")[0] in (400, 404)

    known = [("authorization", "Bearer TOKEN-OF-THE-APP")]
    with proxy.channel() as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        request = predict_request(history=[["a"]])
        answer = predict(request, metadata=known, timeout=20)
        assert answer.outputs["item"].string_val[1] == b"v1"
        status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus
        for code, ask in (
            (grpc.StatusCode.UNAUTHENTICATED, lambda: predict(request, timeout=20)),
            (
                grpc.StatusCode.UNIMPLEMENTED,
                lambda: status(
                    get_model_status_pb2.GetModelStatusRequest(), metadata=known, timeout=20
                ),
            ),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                ask()
            assert raised.value.code() == code


def test_the_proxy_bounds_each_clients_rate(proxy):
    shop = [proxy.rest("/v1/models/m", token="TOKEN-OF-THE-SHOP")[0] for _ in range(3)]
    assert set(shop) == {200}
    # Many at once, over one connection each way, come faster than a hundred a second.
    with proxy.channel() as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        metadata = [("authorization", "Bearer TOKEN-OF-THE-SHOP")]
        asked = [
            predict.future(predict_request(history=[["a"]]), metadata=metadata, timeout=60)
            for _ in range(400)
        ]
        codes = {future.code() for future in asked}
    assert grpc.StatusCode.UNAVAILABLE in codes  # which is what 429 is to gRPC
    assert proxy.rest("/v1/models/m", token="TOKEN-OF-THE-APP")[0] == 200
