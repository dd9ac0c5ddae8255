"""Small models in plain TensorFlow, and servers in this process, each with a loop of its own."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import shutil
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from podway.export.server.serve import ServerOptions, serve
from tests.export.server.net.keys import Trust

ROOT = pathlib.Path(__file__).parents[3]
WARMUP = "assets.extra/tf_serving_warmup_requests"


def write_model(directory: pathlib.Path, version: int) -> None:
    """A SavedModel whose answers say which version gave them.

    serving_default   history string [b, t] → item string [b, 2]: (first of the row, "v<VERSION>"),
                      score f32 [b, 2]: (number of values that are not "", VERSION / 10)
    two               a f32 [b, 3], b i32 [b] → sum f32 [b, 3], name_bytes string [b]
    slow              turns i32 [] → turns i32 []: takes about a millisecond a turn
    """

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, name="history")])
        def recommend(self, history):
            padded = tf.pad(history, [[0, 0], [0, 1]], constant_values="")
            count = tf.reduce_sum(tf.cast(history != "", tf.float32), axis=1)
            own = tf.fill(tf.shape(count), f"v{version}")
            score = tf.fill(tf.shape(count), version / 10)
            return {
                "item": tf.stack([padded[:, 0], own], 1),
                "score": tf.stack([count, score], 1),
            }

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 3], tf.float32, name="a"),
                tf.TensorSpec([None], tf.int32, name="b"),
            ]
        )
        def two(self, a, b):
            total = a + tf.cast(b, tf.float32)[:, tf.newaxis]
            return {"sum": total, "name_bytes": tf.strings.as_string(b)}

        @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="turns")])
        def slow(self, turns):
            def turn(index, matrix):
                product = tf.matmul(matrix, matrix)
                return index + 1, product / tf.norm(product)

            start = (tf.constant(0), tf.random.stateless_uniform([400, 400], [0, 0]))
            index, matrix = tf.while_loop(lambda index, _: index < turns, turn, start)
            return {"turns": index + tf.cast(tf.norm(matrix) < 0, tf.int32)}

    model = Model()
    tf.saved_model.save(
        model,
        str(directory),
        signatures={"serving_default": model.recommend, "two": model.two, "slow": model.slow},
    )


def predict_request(
    model: str = "m", signature: str = "", version: int | None = None, **inputs: Any
) -> predict_pb2.PredictRequest:
    """A PredictRequest; `inputs` are what tf.make_tensor_proto takes."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


@dataclasses.dataclass(frozen=True)
class Site:
    """A folder of models and its config file."""

    root: pathlib.Path
    library: dict[int, pathlib.Path]

    @property
    def config(self) -> pathlib.Path:
        return self.root / "models.config"

    def put(self, version: int, *warmup: predict_pb2.PredictRequest) -> pathlib.Path:
        """Lays version 1, 2 or 3 into the base path, with these warm-up requests."""
        target = self.root / "m" / str(version)
        shutil.copytree(self.library[version], target)
        if warmup:
            (target / WARMUP).parent.mkdir(exist_ok=True)
            with tf.io.TFRecordWriter(str(target / WARMUP)) as writer:
                for request in warmup:
                    log = prediction_log_pb2.PredictionLog()
                    log.predict_log.request.CopyFrom(request)
                    writer.write(log.SerializeToString())
        return target

    def ask_for(self, policy: str, more: str = "") -> None:
        """Rewrites the config with this version policy."""
        text = (
            f'model_config_list {{ config {{ name: "m" base_path: "{self.root}/m"'
            f' model_platform: "tensorflow" model_version_policy {{ {policy} }} {more} }} }}'
        )
        temporary = self.root / "next.config"
        temporary.write_text(text)
        temporary.replace(self.config)

    def ask_for_versions(self, *versions: int, more: str = "") -> None:
        self.ask_for(f"specific {{ versions: {list(versions)} }}", more)


@dataclasses.dataclass(frozen=True)
class Client:
    """A server's two APIs; REST by TLS, if `https` says whom to trust."""

    grpc_port: int
    rest_port: int
    channel: grpc.Channel
    https: ssl.SSLContext | None = None

    @property
    def prediction(self) -> prediction_service_pb2_grpc.PredictionServiceStub:
        return prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    @property
    def model(self) -> model_service_pb2_grpc.ModelServiceStub:
        return model_service_pb2_grpc.ModelServiceStub(self.channel)

    def rest(self, path: str, body: Any = None) -> tuple[int, Any]:
        """HTTP status and JSON of a GET, or of a POST of `body` (JSON, or bytes as they are)."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        scheme = "https" if self.https else "http"
        request = urllib.request.Request(f"{scheme}://127.0.0.1:{self.rest_port}{path}", data)
        try:
            with urllib.request.urlopen(request, timeout=20, context=self.https) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def listens(self) -> bool:
        """Whether REST accepts connections."""
        try:
            socket.create_connection(("127.0.0.1", self.rest_port), timeout=20).close()
        except ConnectionRefusedError:
            return False
        return True

    def states(self) -> dict[int, str]:
        """Version → state of model m."""
        status, answer = self.rest("/v1/models/m")
        if status != 200:
            return {}
        return {int(v["version"]): v["state"] for v in answer["model_version_status"]}

    def wait_for(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Returns when the condition holds; fails when it does not in time."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.rest("/v1/models/m")
            time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def free_ports() -> tuple[int, int]:
    """Two that differ: one after the other could be the same."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        return one.getsockname()[1], other.getsockname()[1]


@contextlib.contextmanager
def running(site: Site, trust: Trust | None = None, **options: Any) -> Iterator[Client]:
    """A server of the site's config, stopped and waited for at the end."""
    port, rest_api_port = free_ports()
    chosen = ServerOptions(
        **{
            "model_config_file": str(site.config),
            "port": port,
            "rest_api_port": rest_api_port,
            "model_config_file_poll_wait_seconds": 0.05,
            "file_system_poll_wait_seconds": 0.05,
            "max_num_load_retries": 0,
            **options,
        }
    )
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            loop.run_until_complete(serve(chosen, stop))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        address = f"localhost:{port}"
        with (
            grpc.secure_channel(address, trust.grpc) if trust else grpc.insecure_channel(address)
        ) as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
            client = Client(port, rest_api_port, channel, trust and trust.https)
            while not client.listens():  # REST starts after gRPC
                assert thread.is_alive(), failed
                time.sleep(0.01)
            yield client
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=60)
        loop.close()
    assert not failed
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> dict[int, pathlib.Path]:
    """Versions 1, 2 and 3 of the model."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    root = tmp_path_factory.mktemp("library")
    for version in (1, 2, 3):
        write_model(root / str(version), version)
    return {version: root / str(version) for version in (1, 2, 3)}


@pytest.fixture
def site(tmp_path, library) -> Site:
    (tmp_path / "m").mkdir()
    return Site(tmp_path, library)


def lay_out(root: pathlib.Path, library: dict[int, pathlib.Path]) -> Site:
    """What the contract tests want served: versions 1 and 2 of model m, and a label."""
    (root / "m").mkdir()
    site = Site(root, library)
    site.put(1)
    site.put(2)
    site.ask_for("all {}", more='version_labels { key: "stable" value: 1 }')
    return site


@contextlib.contextmanager
def elsewhere(grpc_port: int, rest_port: int) -> Iterator[Client]:
    """A server that runs already, of what `lay_out` wrote."""
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        yield Client(grpc_port, rest_port, channel)


@pytest.fixture(scope="module")
def client(tmp_path_factory, library) -> Iterator[Client]:
    """A server for tests that change nothing: this one, or that of PODWAY_SERVER_PORTS."""
    if ports := os.environ.get("PODWAY_SERVER_PORTS"):  # "GRPC REST"; see smoke.sh
        server = elsewhere(*map(int, ports.split()))
    else:
        server = running(lay_out(tmp_path_factory.mktemp("site"), library))
    with server as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE", 2: "AVAILABLE"})
        yield client
