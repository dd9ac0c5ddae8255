"""No request crashes the server, makes it hang, or stays in its memory."""

import asyncio
import contextlib
import dataclasses
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator

import grpc
import pytest
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from export.server import rest_json, servable, tensors
from export.server.error import RequestError
from tests.export.server import fuzzing
from tests.export.server.conftest import ROOT, Site, predict_request

GRPC_CODES = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
UNREADABLE = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
"""gRPC itself says this of bytes that are no message of the method."""
HTTP_CODES = {200, 400, 404, 405, 408, 413, 414, 417, 429, 431, 501}
FLAGS = ("--enable_batching", "--enable_per_model_batching_parameters")
BATCHING = """
max_batch_size { value: 16 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 100 }
allowed_batch_sizes: [3, 16]
pad_variable_length_inputs: true
"""
"""Of version 1; version 2 is served as by default."""
SECONDS = 60.0
"""Longest wait for any answer."""


@dataclasses.dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen
    grpc_port: int
    rest_port: int

    @property
    def memory(self) -> float:
        """MB that it holds."""
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def answers(self) -> bool:
        """Whether a normal request is answered."""
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = predict_request(history=[["a"]])
            answer = stub.Predict(request, timeout=SECONDS, wait_for_ready=True)
        return answer.outputs["item"].string_val[1] == b"v2" and self.process.poll() is None


@pytest.fixture(scope="module")
def server(tmp_path_factory, library) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("fuzz")
    (root / "m").mkdir()
    site = Site(root, library)
    (site.put(1) / "batching_params.pbtxt").write_text(BATCHING)
    site.put(2)
    site.ask_for_versions(1, 2, more='version_labels { key: "stable" value: 1 }')
    log = root / "log"
    command = [sys.executable, "-m", "export.server", f"--model_config_file={site.config}"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--port=0", "--rest_api_port=0", *FLAGS], cwd=ROOT, stderr=file
        )
    try:
        pattern = r"serving on gRPC \S+:(\d+), REST \S+:(\d+)"
        while not (match := re.search(pattern, log.read_text())):
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        yield Server(process, int(match[1]), int(match[2]))
        process.terminate()
        assert process.wait(timeout=60) == 0
        said = log.read_text()
        assert "Traceback" not in said, said[said.index("Traceback") :][:5000]
    finally:
        process.kill()
        process.wait()


def grpc_cases(server: Server, cases: Iterable[tuple[str, bytes]]) -> None:
    """Sends the calls, a hundred at once."""
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        methods = {name: channel.unary_unary(name) for name in fuzzing.METHODS}
        for part in parts(cases, 100):
            calls = [methods[name].future(data, timeout=SECONDS) for name, data in part]
            for call, (name, data) in zip(calls, part, strict=True):
                code = call.code()
                if code in UNREADABLE and name == fuzzing.PREDICT:
                    assert not readable(data), (data, call.details())  # the server's own failure
                else:
                    assert code in GRPC_CODES | UNREADABLE, (name, data, call.details())


def readable(data: bytes) -> bool:
    with contextlib.suppress(DecodeError):
        return bool(predict_pb2.PredictRequest.FromString(data).IsInitialized())
    return False


def parts(cases: Iterable, size: int) -> Iterator[tuple]:
    cases = iter(cases)
    while part := tuple(itertools.islice(cases, size)):
        yield part


async def pipelined(port: int, requests: tuple[bytes, ...]) -> None:
    """Sends well-formed requests in one go and reads as many answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(requests))
    for request in requests:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None, (request, head)
        body = await asyncio.wait_for(reader.readexactly(int(length[1])), SECONDS)
        assert int(head.split()[1]) in HTTP_CODES, (request, head, body)
        assert body.startswith(b"{"), (request, head, body)
    writer.close()
    await writer.wait_closed()


async def thrown(port: int, data: bytes) -> None:
    """Sends bytes, ends the connection's own half, and reads until the server ends the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    with contextlib.suppress(OSError):  # the server has closed the connection already
        writer.write_eof()
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await asyncio.wait_for(reader.read(), SECONDS)
    for status in re.findall(rb"^HTTP/1\.[01] (\d+)", answer[:20]):
        assert int(status) in HTTP_CODES, (data, answer)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def all_of(server: Server, requests: Iterable[bytes], connections: Iterable[bytes]) -> None:
    for several in parts(parts(requests, 50), 4):
        await asyncio.gather(*(pipelined(server.rest_port, each) for each in several))
    for several in parts(connections, 20):
        await asyncio.gather(*(thrown(server.rest_port, each) for each in several[2:]))
        await asyncio.gather(*(thrown(server.grpc_port, each) for each in several[:2]))


def live(server: Server, seed: int, calls: int, requests: int, connections: int) -> None:
    take = itertools.islice
    grpc_cases(server, take(fuzzing.grpc_requests(seed), calls))
    asyncio.run(
        all_of(
            server,
            take(fuzzing.http_requests(seed), requests),
            take(fuzzing.connections(seed), connections),
        )
    )
    assert server.answers()


def decoded(library, seed: int, protos: int, bodies: int) -> None:
    """What the server reads requests with, in this process: nothing but a RequestError."""
    model = servable.load(library[1])
    specs = {name: model.signatures[name].inputs for name in ("serving_default", "two")}
    read = 0
    for _, data in itertools.islice(fuzzing.grpc_requests(seed), protos):
        with contextlib.suppress(DecodeError, RequestError):
            request = predict_pb2.PredictRequest.FromString(data)
            wanted = specs.get(request.model_spec.signature_name, specs["serving_default"])
            tensors.decode(request.inputs, wanted)
            read += 1
    for body in itertools.islice(fuzzing.json_bodies(seed), bodies):
        with contextlib.suppress(RequestError):
            rest_json.parse(body, model.signature)
            read += 1
    assert read > (protos + bodies) / 100  # the cases are not all nonsense
    model.close()


def test_odd_requests(server, library):
    live(server, seed=1, calls=300, requests=300, connections=60)
    decoded(library, seed=2, protos=500, bodies=500)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_hundred_thousand_odd_requests_leave_nothing_behind(server, library):
    live(server, seed=10, calls=4000, requests=4000, connections=500)  # until memory has settled
    before = server.memory
    live(server, seed=11, calls=15_000, requests=15_000, connections=1500)
    assert server.memory - before < 16, f"{before:.0f} MB → {server.memory:.0f} MB"
    decoded(library, seed=12, protos=30_000, bodies=30_000)
