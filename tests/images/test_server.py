"""The server's image, built and run: REST, gRPC, and what SIGTERM leaves to be answered."""

import json
import pathlib
import threading
import time
import urllib.error
import urllib.request

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests.export.server.conftest import predict_request, write_model
from tests.images import engine
from tests.images.serving import WORKDIR, serve, wait_for

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(3600)]

TURNS = 3000
"""Of a request that takes seconds."""


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> pathlib.Path:
    """A folder with a model, which whoever serves it may only read."""
    folder = tmp_path_factory.mktemp("models")
    folder.chmod(0o755)
    write_model(folder / "m" / "1", 1)
    return folder


def test_it_is_podway_without_a_trainer(image):
    then = 'podman exec "$NAME" ls /opt/podway/lib/python3.11/site-packages; podman kill "$NAME"'
    said = engine.container(
        image("server"),
        *("-c", "import time; time.sleep(600)"),
        name="podway-server-tools",
        then=then,
        entrypoint="/opt/podway/bin/python",
    )
    words = said.stdout.split()
    assert {"podway", "tensorflow"} <= {*words}, said.stderr
    assert not {"apache_beam", "jax", "pip"} & {*words}
    told = engine.container(image("server"), name="podway-server-help")
    assert told.stdout.strip() == "0", told.stderr
    assert "usage: podway" in told.stderr


def test_it_answers_and_at_sigterm_ends_what_it_has_begun(image, models):
    flags = ["--model_name=m", f"--model_base_path={WORKDIR}/m"]
    with serve(image("server"), models, *flags) as (server, rpc, rest):
        wait_for(f"http://{rest}/v1/models/m")
        assert rest_answer(rest) == ["a", "v1"]
        late: list[str] = []
        slow = threading.Thread(target=ask, args=(rpc, "slow", late), kwargs={"turns": TURNS})
        ask(rpc, "", quick := [], history=[["a"]])
        assert quick == ["a v1"]
        slow.start()
        time.sleep(1)
        assert not late, "it was to be under way still"
        code = server.stop()
        slow.join()
    assert late == [str(TURNS)], server.said[-3000:]
    assert code == "0", server.said[-3000:]
    assert "answering what is in flight" in server.said
    with pytest.raises(urllib.error.URLError):
        rest_answer(rest)


def rest_answer(address: str) -> list[str]:
    """The items of one row."""
    body = json.dumps({"instances": [{"history": ["a"]}]}).encode()
    request = urllib.request.Request(f"http://{address}/v1/models/m:predict", body)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["predictions"][0]["item"]


def ask(address: str, signature: str, answers: list[str], **inputs) -> None:
    """Adds the first of a request's outputs, or its error."""
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_request(signature=signature, **inputs)
        try:
            outputs = stub.Predict(request, timeout=300).outputs
        except grpc.RpcError as error:
            answers.append(str(error))
            return
    found = tf.make_ndarray(outputs["turns" if signature else "item"]).ravel().tolist()
    answers.append(" ".join(x.decode() if isinstance(x, bytes) else str(x) for x in found))


def test_a_model_that_is_not_there_is_said_in_a_sentence(image, models):
    said = engine.container(
        image("server"),
        *("--model_name=m", "--model_config_file=/no/such.config"),
        name="podway-server-mistake",
        entrypoint="podway-model-server",
    )
    assert said.stdout.strip() == "1", said.stderr
    assert "/no/such.config" in said.stderr
    assert "Traceback" not in said.stderr
