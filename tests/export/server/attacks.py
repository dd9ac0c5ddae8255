"""What one hostile client sends: each costs seconds or gigabytes of a server without limits."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import concurrent.futures
import contextlib
import dataclasses
import functools
import gzip
import pathlib
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.export.server.conftest import predict_request
from tests.export.server.net.keys import Trust

MIB = 1 << 20
PREDICT = "/tensorflow.serving.PredictionService/Predict"
REST_PREDICT = "/v1/models/m:predict"
LONG = 60.0
"""Seconds in which an attack has its answer."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A server in a process of its own.

    Attributes:
      process: its own.
      address: of gRPC.
      rest_port: of REST.
      log: its file of them.
      trust: what its clients need, if it speaks TLS.
    """

    process: subprocess.Popen
    address: str
    rest_port: int
    log: pathlib.Path
    trust: Trust | None = None

    @contextlib.contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """A connection of its own."""
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
        ]
        with (
            grpc.secure_channel(self.address, self.trust.grpc, options)
            if self.trust
            else grpc.insecure_channel(self.address, options)
        ) as channel:
            yield channel

    @contextlib.contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A connection of REST."""
        with socket.create_connection(("127.0.0.1", self.rest_port), timeout=LONG) as raw:
            if not self.trust:
                yield raw
                return
            with self.trust.https.wrap_socket(raw, server_hostname="localhost") as connection:
                yield connection

    def memory(self) -> float:
        """MiB that it has held at most, the largest of its processes."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = []
        for pid in (self.process.pid, *map(int, children.read_text().split())):
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            found.append(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
        return max(found)


def send(target: Target, data: bytes, pieces: int = 1 << 16) -> bytes:
    """The answer to what is sent over a new REST connection, or as much of it as comes."""
    answer = b""
    with target.connection() as connection:
        with contextlib.suppress(OSError):  # it refuses before it has read all
            for start in range(0, len(data), pieces):
                connection.sendall(data[start : start + pieces])
        with contextlib.suppress(OSError):
            while piece := connection.recv(1 << 16):
                answer += piece
    return answer


def post(body: bytes, *headers: str, path: str = REST_PREDICT) -> bytes:
    """A request of REST."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def varint(number: int) -> bytes:
    """As protobuf writes it."""
    head = bytearray()
    while number > 127:
        head.append(number & 127 | 128)
        number >>= 7
    return bytes([*head, number])


def field(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def of_tensor(tensor: bytes, shape: tuple[int, ...] = (1, 1), dtype: int = 7) -> bytes:
    """A Predict request for m, whose history is made of these bytes of a TensorProto."""
    dims = b"".join(field(2, b"\x08" + varint(size)) for size in shape)
    proto = b"\x08" + varint(dtype) + field(2, dims) + tensor
    return field(1, field(1, b"m")) + field(2, field(1, b"history") + field(2, proto))


@dataclasses.dataclass(frozen=True)
class Rest:
    """A request that is sent so many times at once, each over a connection of its own."""

    make: Callable[[], bytes]
    times: int = 1

    def prepare(self) -> Callable[[Target], list[str]]:
        """What sends it, and returns the status of each answer."""
        sent = [self.make()] * self.times

        def attack(target: Target) -> list[str]:
            with concurrent.futures.ThreadPoolExecutor(len(sent)) as threads:
                answers = threads.map(functools.partial(send, target), sent)
            return [answer[9:12].decode() for answer in answers]

        return attack


@dataclasses.dataclass(frozen=True)
class Calls:
    """The bytes of a Predict request, sent so many times at once."""

    make: Callable[[], bytes]
    times: int = 1
    compression: grpc.Compression | None = None

    def prepare(self) -> Callable[[Target], list[str]]:
        """What sends it, and returns the status of each answer."""
        sent = self.make()

        def attack(target: Target) -> list[str]:
            with target.channel() as channel:
                method = channel.unary_unary(PREDICT)
                futures = [
                    method.future(sent, timeout=LONG, compression=self.compression)
                    for _ in range(self.times)
                ]
                return [future.code().name for future in futures]

        return attack


@dataclasses.dataclass(frozen=True)
class Connections:
    """What opens connections and asks for nothing."""

    attack: Callable[[Target], list[str]]

    def prepare(self) -> Callable[[Target], list[str]]:
        """Itself."""
        return self.attack


def slow_heads(target: Target) -> list[str]:
    """Two hundred connections whose requests never get to their end."""
    with contextlib.ExitStack() as stack:
        open_ = [stack.enter_context(target.connection()) for _ in range(200)]
        for _ in range(10):
            for connection in open_:
                connection.send(b"GET / HTTP/1.1\r\nX: " if _ == 0 else b"a")
            time.sleep(0.1)
    return []


def churn(target: Target) -> list[str]:
    """Five hundred connections with nonsense, which are reset."""
    host, _, port = target.address.rpartition(":")
    ports = [target.rest_port, *([int(port)] if host != "unix" else [])]
    for number in range(500):
        address = ("127.0.0.1", ports[number % len(ports)])
        with socket.create_connection(address, timeout=LONG) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(range(60)))
    return []


def _bomb(content: bytes, before: bytes = b"", times: int = 1) -> bytes:
    encoder = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [encoder.compress(before), *(encoder.compress(content) for _ in range(times))]
    return post(b"".join(parts) + encoder.flush(), "Content-Encoding: gzip")


def _rows(count: int) -> bytes:
    return post(b'{"instances":[' + b",".join([b'{"history":["a"]}'] * count) + b"]}")


def _keys() -> bytes:
    return post(b"{" + b",".join(b'"%d":0' % number for number in range(500_000)) + b"}")


_START = b'{"instances":['

REFUSED, LARGE = {"INVALID_ARGUMENT"}, {"RESOURCE_EXHAUSTED"}

ATTACKS: dict[str, tuple[Rest | Calls | Connections, set[str]]] = {
    "60 MiB of empty lists in 60 KiB of gzip": (
        Rest(lambda: _bomb(b"[]," * (MIB // 3), _START, 60), times=4),
        {"413"},
    ),
    "300 MiB of blanks in gzip": (Rest(lambda: _bomb(b" " * MIB, times=300), times=2), {"413"}),
    "gzip of two thousand files": (
        Rest(lambda: post(gzip.compress(b"") * 2000, "Content-Encoding: gzip")),
        {"400"},
    ),
    "20 MiB of empty lists": (Rest(lambda: post(_START + b"[]," * (7 * MIB) + b"0]}")), {"413"}),
    "as many lists as there may be": (
        Rest(lambda: post(_START + b"[]," * 500_000 + b"0]}")),
        {"400", "413"},
    ),
    "as many keys as there may be": (Rest(_keys), {"400"}),
    "a string that does not end": (Rest(lambda: post(b'["' + b'\\"' * (8 * MIB))), {"400"}),
    "60 MiB of blanks": (Rest(lambda: post(b" " * (60 * MIB))), {"400"}),
    "200,000 rows": (Rest(lambda: _rows(200_000)), {"413"}),
    "as many rows as there may be": (Rest(lambda: _rows(16_384)), {"200"}),
    "a body for no model": (
        Rest(lambda: post(b" " * (30 * MIB), path="/v1/models/none:predict"), times=2),
        {"404"},
    ),
    "slow heads": (Connections(slow_heads), set()),
    "connections with nonsense": (Connections(churn), set()),
    "50 bytes that claim a million strings": (
        Calls(lambda: of_tensor(field(8, b"x"), (1 << 19, 2)), times=8),
        REFUSED,
    ),
    "50 bytes that claim 2^41 strings": (
        Calls(lambda: of_tensor(field(8, b"x"), (1 << 40, 2)), times=8),
        REFUSED,
    ),
    "a few bytes that claim too many rows": (
        Calls(lambda: of_tensor(field(8, b"x"), (1 << 15, 2)), times=8),
        LARGE,
    ),
    "ten million strings": (Calls(lambda: of_tensor(b"\x42\x01x" * (10 * MIB))), LARGE),
    "60 million numbers": (Calls(lambda: of_tensor(field(10, b"\x01" * (60 * MIB)))), LARGE),
    "ten million dimensions": (Calls(lambda: of_tensor(field(2, b"\x12\x00" * (10 * MIB)))), LARGE),
    "twenty million unknown fields": (
        Calls(lambda: of_tensor(b"\xf8\x07\x01" * (20 * MIB))),
        LARGE,
    ),
    "ten million inputs": (Calls(lambda: of_tensor(b"") + b"\x12\x00" * (10 * MIB)), LARGE),
    "60 MiB of zeros in gzip": (
        Calls(
            lambda: of_tensor(field(8, bytes(60 * MIB))), times=2, compression=grpc.Compression.Gzip
        ),
        {"OK"},
    ),
    "200 MiB of zeros in gzip": (
        Calls(lambda: of_tensor(field(8, bytes(200 * MIB))), compression=grpc.Compression.Gzip),
        LARGE,
    ),
}
"""What is sent, and the statuses that it is answered by; none where there is no request."""


class Beside:
    """Another client, who asks again and again; `worst` is the longest that it has waited, in s."""

    def __init__(self, target: Target):
        self._target, self._over = target, threading.Event()
        self.worst, self.errors = 0.0, []
        self._threads = [threading.Thread(target=work) for work in (self._ask_grpc, self._ask_rest)]

    def __enter__(self) -> "Beside":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failed: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask_grpc(self) -> None:
        request = predict_request(history=[["a"]]).SerializeToString()
        with self._target.channel() as channel:
            health = health_pb2_grpc.HealthStub(channel)
            predict = channel.unary_unary(PREDICT)
            while not self._over.wait(0.02):
                self._time(lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=LONG))
                self._time(lambda: predict(request, timeout=LONG))

    def _ask_rest(self) -> None:
        status = b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        predict = post(b'{"instances": [{"history": ["a"]}]}')
        while not self._over.wait(0.02):
            for request in (status, predict):
                answer = self._time(functools.partial(send, self._target, request))
                if answer is not None and b" 200 " not in answer[:15]:
                    self.errors.append(answer[:200])

    def _time(self, ask: Callable):
        start = time.monotonic()
        try:
            return ask()
        except (OSError, grpc.RpcError) as error:
            self.errors.append(error)
        finally:
            self.worst = max(self.worst, time.monotonic() - start)
