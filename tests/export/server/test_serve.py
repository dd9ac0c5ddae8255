"""Versions come and go while requests run; the server stops when it is told to."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from podway.export.server.error import ServerError
from podway.export.server.options import ANY
from podway.export.server.serve import ServerOptions, main
from tests.export.server.conftest import ROOT, free_port, predict_request, running


def version_of(response) -> str:
    return response.outputs["item"].string_val[1].decode()


@contextlib.contextmanager
def load(client, threads: int = 4):
    """Keeps predicting; yields the versions that answered, in order. Any error fails the test."""
    answers, errors, stop = [], [], threading.Event()

    def work(slow: bool) -> None:
        while not stop.is_set():
            try:
                if slow:  # still in flight while its version is being replaced
                    client.prediction.Predict(predict_request(signature="slow", turns=60))
                else:
                    response = client.prediction.Predict(predict_request(history=[["a"]]))
                    answers.append(version_of(response))
            except grpc.RpcError as error:
                errors.append(error)
                return

    workers = [threading.Thread(target=work, args=(n % 2 == 0,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield answers
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert not errors


def test_versions_switch_under_load_without_a_dropped_request(site):
    site.put(1, predict_request(history=[["a"]]))
    site.ask_for_versions(1)
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        with load(client) as answers:
            for version in (2, 3):
                site.put(version, predict_request(history=[["a"]]))
                site.ask_for_versions(version)
                client.wait_for(lambda v=version: answers[-1:] == [f"v{v}"])
                client.wait_for(lambda v=version: client.states()[v - 1] == "END")
            site.ask_for_versions(2)  # and back
            client.wait_for(lambda: client.states() == {1: "END", 2: "AVAILABLE", 3: "END"})
        assert set(answers) == {"v1", "v2", "v3"}
        assert version_of(client.prediction.Predict(predict_request(history=[["a"]]))) == "v2"


def test_the_latest_version_is_found_by_itself(site):
    site.put(1)
    site.ask_for("latest {}")
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        site.put(3)
        client.wait_for(lambda: client.states() == {1: "END", 3: "AVAILABLE"})


@pytest.mark.parametrize(
    ("warmup", "said"),
    [
        (predict_request(signature="x", history=[["a"]]), 'record 2: .*"x" not found'),
        (predict_request(history=[[1]]), "record 2: input 'history' is of type DT_INT32"),
        (predict_request(signature="two", a=[[0.0] * 3] * 2, b=[1] * 3), "record 2: signature"),
    ],
)
def test_a_failed_warm_up_never_replaces_what_serves(site, warmup, said):
    site.put(1)
    site.ask_for_versions(1)
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        site.put(2, predict_request(history=[["a"]]), warmup)
        site.ask_for_versions(2)
        client.wait_for(lambda: client.states().get(2) == "END")
        _, answer = client.rest("/v1/models/m/versions/2")
        assert answer["model_version_status"][0]["status"]["error_code"] == "UNKNOWN"
        error = answer["model_version_status"][0]["status"]["error_message"]
        assert re.search(said, error)
        assert version_of(client.prediction.Predict(predict_request(history=[["a"]]))) == "v1"
        assert client.states()[1] == "AVAILABLE"


@pytest.mark.parametrize("file", ["saved_model.pb", "assets.extra/tf_serving_warmup_requests"])
def test_a_damaged_version_never_replaces_what_serves(site, file):
    site.put(1)
    site.ask_for_versions(1)
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        damaged = site.put(2, predict_request(history=[["a"]])) / file
        damaged.write_bytes(damaged.read_bytes()[:-3])
        site.ask_for_versions(2)
        client.wait_for(lambda: client.states().get(2) == "END")
        assert client.states()[1] == "AVAILABLE"
        site.put(3)  # a later version that is sound does replace
        site.ask_for_versions(3)
        client.wait_for(lambda: client.states() == {1: "END", 2: "END", 3: "AVAILABLE"})


def test_a_server_whose_only_version_fails_says_so_and_waits_for_another(site):
    site.put(1, predict_request(signature="x"))
    site.ask_for_versions(1)
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "END"})
        health = health_pb2_grpc.HealthStub(client.channel)
        states = health_pb2.HealthCheckResponse.ServingStatus
        check = health_pb2.HealthCheckRequest()
        assert health.Check(check).status == states.NOT_SERVING
        site.put(2)
        site.ask_for_versions(2)
        client.wait_for(lambda: client.states() == {1: "END", 2: "AVAILABLE"})
        client.wait_for(lambda: health.Check(check).status == states.SERVING)


def test_a_version_that_is_not_there_yet_takes_nothing_away(site):
    site.put(1)
    site.ask_for_versions(1)
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        site.ask_for_versions(2)
        (site.root / "m" / "2").mkdir()
        assert client.rest("/v1/models/m/versions/2:predict", {"inputs": [["a"]]})[0] == 404
        assert client.states() == {1: "AVAILABLE"}
        (site.root / "m" / "2").rmdir()
        site.put(2)
        client.wait_for(lambda: client.states() == {1: "END", 2: "AVAILABLE"})


def test_a_damaged_config_keeps_the_last_good_one(site, caplog):
    site.put(1)
    site.ask_for_versions(1)
    with running(site) as client, caplog.at_level(logging.ERROR):
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        for damaged in ("model_config_list {", "", None):
            if damaged is None:
                site.config.unlink()
            else:
                site.config.write_text(damaged)
            caplog.clear()
            client.wait_for(lambda: "the last good config stays" in caplog.text)
            assert client.states() == {1: "AVAILABLE"}
        site.put(2)
        site.ask_for_versions(2)
        client.wait_for(lambda: client.states() == {1: "END", 2: "AVAILABLE"})


def test_a_model_that_leaves_the_config_is_unloaded(site):
    site.put(1)
    site.ask_for_versions(1)
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        site.config.write_text("model_config_list {}")
        client.wait_for(lambda: client.states() == {1: "END"})
        assert client.rest("/v1/models/m:predict", {"inputs": [["a"]]})[0] == 404


def test_startup_errors_are_one_sentence(site):
    options = {"model_config_file": str(site.config), "port": free_port(), "rest_api_port": ANY}
    with pytest.raises(ServerError, match=r"models\.config does not exist"):
        main(ServerOptions(**options))
    site.ask_for_versions(1)
    for port, flag in (("port", "gRPC port {} .*--port"), ("rest_api_port", "REST port {} .*rest")):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            taken = listener.getsockname()[1]
            with pytest.raises(ServerError, match=flag.format(taken)):
                main(ServerOptions(**{**options, "port": ANY, port: taken}))
    with pytest.raises(ServerError, match=r"cannot listen on 192\.0\.2\.1"):
        main(ServerOptions(**options, host="192.0.2.1"))
    with pytest.raises(ServerError, match="port is 70000; give 1 to 65535, 0 for none, or any"):
        ServerOptions(**{**options, "port": 70000})


def test_sigterm_lets_requests_finish_then_exits_with_0(site):
    site.put(1)
    site.ask_for_versions(1)
    command = [
        sys.executable,
        "-m",
        "podway.export.server",
        "--model_config_file",
        str(site.config),
    ]
    server = subprocess.Popen(
        [*command, "--port", "any", "--rest_api_port", "any"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    assert server.stderr is not None
    try:
        lines, port = [], None
        for line in server.stderr:
            lines.append(line)
            if match := re.search(r"serving on gRPC 127.0.0.1:(\d+), REST 127.0.0.1:\d+", line):
                port = match[1]
                break
        said = "".join(lines)
        assert port, said
        steps = [said.index(f"m version 1: {step}") for step in ("loading", "warmed", "AVAILABLE")]
        assert steps == sorted(steps)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            stub.Predict(predict_request(signature="slow", turns=1))
            answer = stub.Predict.future(predict_request(signature="slow", turns=1000))
            time.sleep(0.2)
            assert not answer.done()
            server.send_signal(signal.SIGTERM)
            assert answer.result(timeout=30).outputs["turns"].int_val[0] == 1000
        assert server.wait(timeout=30) == 0
        assert "stopped" in server.stderr.read()
    finally:
        server.kill()
        server.communicate()
