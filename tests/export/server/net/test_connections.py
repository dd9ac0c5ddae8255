"""REST's connections: their time, their number, and JSON for whatever is no request."""

import asyncio
import contextlib
import gzip
import json
import re
import resource
import socket
import time
import zlib

import pytest

from podway.export.server.net import connections, files
from tests.export.server.conftest import lay_out, predict_request, running

PREDICT = "/v1/models/m:predict"
BODY = b'{"instances": [{"history": ["a"]}]}'


def talk(client, *pieces: bytes, pause: float = 0.0, timeout: float = 20) -> bytes:
    """All that is answered to these bytes, until the server ends the connection."""
    answer = b""
    with socket.create_connection(("127.0.0.1", client.rest_port), timeout=timeout) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(1 << 16):
                answer += piece
    return answer


def post(body: bytes, *headers: str, path: str = PREDICT, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def error(answer: bytes, status: int) -> str:
    """What an answer says is wrong; it has to be HTTP/1.1 and JSON, and to tell no versions."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"\r\nContent-Type: application/json\r\n" in head
    assert re.search(rb"(?mi)^Server: podway-model-server\r$", head)
    document = json.loads(body)
    assert list(document) == ["error"]
    return document["error"]


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"nonsense\r\n\r\n", 400, "no HTTP request"),
        (b"GET /v1/models/m HTTP/9.9\r\nHost: x\r\n\r\n", 400, "no HTTP request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "no HTTP request"),
        (bytes.fromhex("16030100a5010000a10303") + bytes(150), 400, "HTTPS traffic"),
        (b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\nX : a\r\n\r\n", 400, "Invalid header"),
        (b"GET /v1/models/m HTTP/1.1\r\nX: a\0b\r\n\r\n", 400, "Invalid header"),
        (post(BODY, *(f"X{n}: a" for n in range(200))), 400, "Too many headers"),
        (post(BODY, "X: " + "a" * 20_000), 431, "Got more than 16384 bytes"),
        (post(BODY, path="/v1/models/" + "a" * 20_000), 431, "Got more than 16384 bytes"),
        (post(BODY, "Content-Length: 5"), 400, "Content-Length"),
        (post(BODY, "Transfer-Encoding: chunked"), 400, "Transfer-Encoding"),
        (post(BODY, method="BREW"), 400, "no HTTP request"),
        (post(BODY, method="post"), 400, "no HTTP request"),
        (post(BODY, method="PUT"), 400, "Malformed request: PUT"),
        (post(BODY, path="/"), 404, "Not Found: POST /"),
        (post(BODY, path="/v1/models/none:predict"), 404, "Servable not found"),
        (post(BODY, "Expect: 200-ok"), 417, "give 100-continue or none"),
        (post(BODY, "Content-Encoding: br"), 415, "'br': give gzip, deflate or none"),
        (post(BODY, "Content-Encoding: gzip, gzip"), 415, "give gzip, deflate or none"),
        (post(BODY, "Content-Encoding: gzip"), 400, "the body is not gzip: "),
        (post(gzip.compress(BODY)[:-5], "Content-Encoding: gzip"), 400, "its end is missing"),
        (post(zlib.compress(BODY) + b"x", "Content-Encoding: deflate"), 400, "behind its end"),
        (post(gzip.compress(b"") * 101, "Content-Encoding: gzip"), 400, "behind its end"),
    ],
    ids=lambda value: value[:40].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_an_error_is_json_whatever_was_sent(client, sent, status, said):
    assert said in error(talk(client, sent), status)


def test_what_is_decoded_is_announced_and_nothing_else(client):
    answer = talk(client, post(BODY, "Content-Encoding: br"))
    assert b"\r\nAccept-Encoding: gzip, deflate\r\n" in answer
    for encoding, encoded in (
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY[:5]) + gzip.compress(BODY[5:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY)[2:-4]),  # without zlib's frame, as some clients send it
        ("identity", BODY),
    ):
        answer = talk(client, post(encoded, f"Content-Encoding: {encoding}"))
        assert answer.startswith(b"HTTP/1.1 200 "), answer


def test_who_expects_100_continue_is_told_to_go_on(client):
    head, body = post(BODY, "Expect: 100-continue")[: -len(BODY)], BODY
    answer = talk(client, head, body, pause=0.3)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    refused = post(BODY, "Expect: 100-continue", path="/v1/models/none:predict")[: -len(BODY)]
    assert "Servable not found" in error(talk(client, refused), 404)  # and not to send its body
    old = head.replace(b"HTTP/1.1", b"HTTP/1.0")
    assert talk(client, old, body, pause=0.3).startswith(b"HTTP/1.0 200 OK\r\n")


def test_a_body_for_no_model_is_not_read(client):
    head = post(b"", path="/v1/models/none:predict").replace(b"Length: 0", b"Length: 60000000")
    assert "Servable not found" in error(talk(client, head), 404)
    head = post(b"").replace(b"Length: 0", b"Length: 70000000")
    assert "more than 67108864 bytes (--max_request_bytes)" in error(talk(client, head), 413)


@pytest.fixture(scope="module")
def strict(tmp_path_factory, library):
    """A server of few connections and little patience."""
    site = lay_out(tmp_path_factory.mktemp("strict"), library)
    with running(
        site,
        max_connections=5,
        rest_api_header_timeout_in_ms=300,
        rest_api_idle_timeout_in_ms=1500,
        max_request_rows=3,
        max_request_ratio=10,
        max_pending_bytes=1 << 20,
        grpc_channel_arguments="grpc.server_handshake_timeout_ms=3000",
    ) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE", 2: "AVAILABLE"})
        yield client


def test_the_head_of_a_request_has_to_come_in_time(strict):
    start = time.monotonic()
    answer = talk(strict, b"POST /v1/models/m:predict HTTP/1.1\r\n", b"X: a", pause=0.1)
    assert "within 0.3 s (--rest_api_header_timeout_in_ms)" in error(answer, 408)
    assert time.monotonic() - start < 5


def test_an_idle_connection_ends(strict):
    start = time.monotonic()
    assert talk(strict) == b""
    assert 1 < time.monotonic() - start < 10
    answer = talk(strict, post(BODY).replace(b"Connection: close\r\n", b""))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_beyond_the_cap_the_connection_that_is_idle_longest_ends(strict):
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", strict.rest_port)
        idle = [
            stack.enter_context(socket.create_connection(address, timeout=20)) for _ in range(5)
        ]
        time.sleep(0.1)
        idle[0].sendall(b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle[0].recv(15).startswith(b"HTTP/1.1 200")
        assert talk(strict, post(BODY)).startswith(b"HTTP/1.1 200 ")
        idle[1].settimeout(1)
        assert idle[1].recv(10) == b""
        idle[0].sendall(b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle[0].recv(1 << 16)


class _Transport(asyncio.Transport):
    """Of a client that does not read."""

    aborted = False

    def abort(self):
        self.aborted = True

    close = abort


def test_who_does_not_read_the_answer_is_left(monkeypatch):
    monkeypatch.setattr(connections, "_WRITE_SECONDS", 0.1)

    async def handler(request):
        raise AssertionError(request)

    async def main():
        server = connections.Server(handler, most=5, header_seconds=10)
        connection, transport = server(), _Transport()
        connection.transport = transport
        await connection._drain_helper()  # who reads is not waited for
        connection.pause_writing()
        with pytest.raises(ConnectionError, match="does not read"):
            await asyncio.wait_for(connection._drain_helper(), 5)
        assert transport.aborted

    asyncio.run(main())


def test_grpc_ends_who_never_speaks_http2_and_refuses_beyond_the_cap(strict):
    address = ("127.0.0.1", strict.grpc_port)
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(address, timeout=20)) for _ in range(8)
        ]
        start = time.monotonic()
        silent[-1].settimeout(2.5)
        with contextlib.suppress(ConnectionError):
            assert silent[-1].recv(1) == b""  # beyond the cap: at once
        assert silent[0].recv(1000) is not None
        while silent[0].recv(1000):
            pass
        assert 2 < time.monotonic() - start < 15
    strict.prediction.Predict(predict_request(history=[["a"]]), timeout=20)


def test_what_a_request_may_cost_is_said_by_the_flags_name(strict):
    rows = json.dumps({"instances": [{"history": ["a"]}] * 4}).encode()
    assert "4 rows, more than 3 (--max_request_rows)" in error(talk(strict, post(rows)), 413)
    columns = json.dumps({"inputs": [["a"]] * 4}).encode()
    assert "(--max_request_rows)" in error(talk(strict, post(columns)), 413)
    bomb = gzip.compress(b" " * (4 << 20))
    answer = talk(strict, post(bomb, "Content-Encoding: gzip"))
    assert "(--max_request_ratio)" in error(answer, 413)
    for _ in range(3):  # what has been refused holds nothing
        answer = talk(strict, post(b" " * (2 << 20)))
        assert "(--max_pending_bytes)" in error(answer, 429)
    assert talk(strict, post(b" " * (900 << 10) + BODY)).startswith(b"HTTP/1.1 200 ")


def test_files_are_shared_between_two_apis():
    assert files.connections(16_384, 1 << 20) == 16_384
    assert files.connections(16_384, 20_000) == 9_488
    assert files.connections(16_384, 256) == 64
    assert files.connections(16_384, resource.RLIM_INFINITY) == 16_384
