"""No request crashes the server, makes it hang, or stays in its memory."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import asyncio
import contextlib
import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import hypothesis
import pytest
from google.protobuf.message import DecodeError
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from podway.export.server.api import rest_json
from podway.export.server.error import RequestError
from podway.export.server.runtime import servable, tensors
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
USUAL = predict_request(history=[["a"]]).SerializeToString()
USUAL_REST = fuzzing.http(fuzzing.PATHS[0], b'{"instances": [{"history": ["a"]}]}')
USUAL_ANSWER = {"predictions": [{"item": ["a", "v2"], "score": [1.0, 0.2]}]}
"""What is asked together with odd requests, and must be answered as ever. Of version 2, because
many odd requests at once may fill the queue of version 1."""


class ServerLost(BaseException):
    """The server is gone or hangs.

    Not an Exception: Hypothesis would go on asking it, in search of simpler cases.
    """


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
        if self.process.poll() is not None:
            return False
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = predict_request(history=[["a"]])
            try:
                answer = stub.Predict(request, timeout=SECONDS, wait_for_ready=True)
            except grpc.RpcError:
                return False
        return answer.outputs["item"].string_val[1] == b"v2" and self.process.poll() is None

    @contextlib.contextmanager
    def asked(self, cases: list) -> Iterator[None]:
        """Raises ServerLost, with the cases, if the server is why something inside fails."""
        start = time.monotonic()
        try:
            yield
        except Exception as error:
            if time.monotonic() - start < SECONDS and self.answers():
                raise
            raise ServerLost(cases) from error


@pytest.fixture(scope="module")
def server(tmp_path_factory, library) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("fuzz")
    (root / "m").mkdir()
    site = Site(root, library)
    (site.put(1) / "batching_params.pbtxt").write_text(BATCHING)
    site.put(2)
    site.ask_for_versions(1, 2, more='version_labels { key: "stable" value: 1 }')
    log = root / "log"
    command = [sys.executable, "-m", "podway.export.server", f"--model_config_file={site.config}"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--port=any", "--rest_api_port=any", *FLAGS], cwd=ROOT, stderr=file
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


def fuzz(
    seed: int, examples: int, strategy: st.SearchStrategy, check: Callable[[Any], None]
) -> None:
    """Checks as many examples, which the seed makes the same in every run."""
    checked = 0

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=examples, deadline=None, database=None, print_blob=True)
    @hypothesis.given(strategy)
    def example(cases):
        nonlocal checked
        checked += 1
        check(cases)

    example()
    assert checked >= examples


def grpc_cases(server: Server, channel: grpc.Channel, cases: list[tuple[str, bytes]]) -> None:
    """Sends the calls and a usual one, all at once."""
    methods = {name: channel.unary_unary(name) for name in fuzzing.METHODS}
    with server.asked(cases):
        calls = [methods[name].future(data, timeout=SECONDS) for name, data in cases]
        usual = methods[fuzzing.PREDICT].future(USUAL, timeout=SECONDS)
        for call, (name, data) in zip(calls, cases, strict=True):
            code = call.code()
            if code in UNREADABLE and name == fuzzing.PREDICT:
                assert not readable(data), (data, call.details())  # the server's own failure
            else:
                assert code in GRPC_CODES | UNREADABLE, (name, data, call.details())
        answer = predict_pb2.PredictResponse.FromString(usual.result())
        assert answer.outputs["item"].string_val == [b"a", b"v2"]


def readable(data: bytes) -> bool:
    with contextlib.suppress(DecodeError):
        return bool(predict_pb2.PredictRequest.FromString(data).IsInitialized())
    return False


def rest_cases(server: Server, cases: list[bytes]) -> None:
    """Sends the requests over four connections at once."""

    async def send() -> None:
        several = filter(None, (cases[start::4] for start in range(4)))
        await asyncio.gather(*(pipelined(server.rest_port, each) for each in several))

    with server.asked(cases):
        asyncio.run(send())


async def pipelined(port: int, requests: list[bytes]) -> None:
    """Sends well-formed requests and a usual one in one go and reads as many answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(requests) + USUAL_REST)
    for request in (*requests, USUAL_REST):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None, (request, head)
        body = await asyncio.wait_for(reader.readexactly(int(length[1])), SECONDS)
        assert int(head.split()[1]) in HTTP_CODES, (request, head, body)
        assert body.startswith(b"{"), (request, head, body)
    assert json.loads(body) == USUAL_ANSWER
    writer.close()
    await writer.wait_closed()


def connections(server: Server, port: int, cases: list[bytes]) -> None:
    """Sends each over a connection of its own, twenty at once."""

    async def send() -> None:
        for start in range(0, len(cases), 20):
            await asyncio.gather(*(thrown(port, each) for each in cases[start : start + 20]))

    with server.asked(cases):
        asyncio.run(send())


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


def live(server: Server, seed: int, examples: int, of: Callable) -> None:
    """As many examples of calls and of requests, and fewer of mere connections."""
    check = functools.partial
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        fuzz(seed, examples, of(fuzzing.grpc_request), check(grpc_cases, server, channel))
    fuzz(seed, examples, of(fuzzing.http_request), check(rest_cases, server))
    for port, part in ((server.rest_port, 10), (server.grpc_port, 40)):
        fuzz(seed, examples // part, of(fuzzing.connection), check(connections, server, port))
    assert server.answers()


def decoded(library, seed: int, examples: int, of: Callable) -> None:
    """What the server reads requests with, in this process: nothing but a RequestError."""
    model = servable.load(library[1])
    specs = {name: model.signatures[name].inputs for name in ("serving_default", "two")}
    decodings: list[bool] = []  # of each case, whether it could be served

    def decode(case: tuple[str, bytes]) -> None:
        request = predict_pb2.PredictRequest.FromString(case[1])
        wanted = specs.get(request.model_spec.signature_name, specs["serving_default"])
        tensors.decode(request.inputs, wanted)

    def parse(body: bytes) -> None:
        rest_json.parse(body, model.signature)

    def check(read: Callable[[Any], None], cases: list) -> None:
        for case in cases:
            try:
                read(case)
                decodings.append(True)
            except (DecodeError, RequestError):
                decodings.append(False)
            except Exception as error:
                error.add_note(f"in {case}")
                raise

    fuzz(seed, examples, of(fuzzing.grpc_request), functools.partial(check, decode))
    fuzz(seed, examples, of(fuzzing.json_body), functools.partial(check, parse))
    assert sum(decodings) > len(decodings) / 100  # the cases are not all nonsense
    model.close()


def test_odd_requests(server, library):
    live(server, seed=1, examples=300, of=fuzzing.one)
    decoded(library, seed=2, examples=500, of=fuzzing.one)


@pytest.mark.slow
def test_a_hundred_thousand_odd_requests_leave_nothing_behind(server, library):
    live(server, seed=10, examples=40, of=fuzzing.hundred)  # until memory has settled
    before = server.memory
    live(server, seed=11, examples=160, of=fuzzing.hundred)
    assert server.memory - before < 16, f"{before:.0f} MB → {server.memory:.0f} MB"
    decoded(library, seed=12, examples=300, of=fuzzing.hundred)
