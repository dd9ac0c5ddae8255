"""Queries per second and latency of the embedded server, gRPC and REST, closed loop on loopback.

    python -m benchmarks.serving
    python -m benchmarks.serving --model-config-file w/models/models.config --model-name NAME
    python -m benchmarks.serving --workers 1 2     # one process, then two

The server runs in a process of its own; this one is the client, and shares the cores with it. Each
request is one history of 1 to 50 items. Without a config file the model is a small one in plain
TensorFlow: mean of the items' embeddings (3,700 × 64), dot product with all of them, top 20. It
costs about 0.05 ms a request, so what is measured is the server. "bare" is a gRPC server (grpc.aio
on uvloop) that always sends the same bytes: no server built on it can do better. The client is one
process; it has a gRPC connection to one server process, and eight to several.
"""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import argparse
import asyncio
import contextlib
import dataclasses
import functools
import json
import multiprocessing
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from multiprocessing.connection import Connection

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported

import grpc
import numpy as np
import tensorflow as tf
import uvloop
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

ROOT = pathlib.Path(__file__).resolve().parent.parent
ITEMS, WIDTH, TOP_K = 3700, 64, 20
LENGTHS = (1, 50)
REQUESTS = 500
"""Different requests, sent in turn."""

Send = Callable[[int], Awaitable[None]]
"""Sends the request of this number and waits for its answer."""
Begin = Callable[[], None]

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model-config-file", type=pathlib.Path)
    parser.add_argument("--model-name", default="bag_of_items")
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="server processes")
    parser.add_argument("--seconds", type=float, default=4.0, help="per row of the table, ≤ 10")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        config = options.model_config_file
        if config is None:
            config = write_model(pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())))
        print(f"{options.model_name}: one history of {LENGTHS[0]}–{LENGTHS[1]} items a request")
        print(f"{'':16}{'concurrency':>12}{'QPS':>9}{'p50 ms':>9}{'p99 ms':>9}")
        for index, workers in enumerate(options.workers):
            compare(config, workers, options, bare=index == 0)


def compare(config: pathlib.Path, workers: int, options: argparse.Namespace, *, bare: bool) -> None:
    """Prints the rows of a server of so many processes; before them, maybe, the bare server's."""
    model, seconds = options.model_name, min(options.seconds, 10.0)
    connections, of = (1, "") if workers == 1 else (8, f", {workers} workers")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running_server(config, f"--workers={workers}"))
        histories = sample_histories(server.grpc, model)
        rows = []
        if bare:
            answer = predict_answer(server.grpc, model, histories[0])
            empty = stack.enter_context(bare_server(answer_grpc, answer))
            rows.append(("bare", functools.partial(grpc_load, empty.address)))
        rows.append(
            (f"gRPC{of}", functools.partial(grpc_load, server.grpc, connections=connections))
        )
        rows.append((f"REST{of}", functools.partial(rest_load, server.rest)))
        for name, load in rows:
            for concurrency in options.concurrency:
                report(name, concurrency, uvloop.run(load(model, histories, concurrency, seconds)))


def report(api: str, concurrency: int, measured: tuple[float, np.ndarray]) -> None:
    seconds, latencies = measured
    p50, p99 = np.quantile(latencies, [0.5, 0.99]) * 1e3
    print(
        f"{api:16}{concurrency:12}{len(latencies) / seconds:9.0f}{p50:9.2f}{p99:9.2f}", flush=True
    )


async def grpc_load(
    address: str,
    model: str,
    histories: list[list[bytes]],
    concurrency: int,
    seconds: float,
    connections: int = 1,
    begin: Begin = lambda: None,
    rows: int = 1,
) -> tuple[float, np.ndarray]:
    """Each request has so many histories."""
    requests = [predict_request(model, *some) for some in together(histories, rows)]

    def sender(stub: prediction_service_pb2_grpc.PredictionServiceStub) -> Send:
        async def send(number: int) -> None:
            await stub.Predict(requests[number])

        return send

    own = [("grpc.use_local_subchannel_pool", 1)]  # else they would share a connection
    async with contextlib.AsyncExitStack() as stack:
        senders = []
        for _ in range(connections):
            channel = grpc.aio.insecure_channel(address, options=own)
            await stack.enter_async_context(channel)
            senders.append(sender(prediction_service_pb2_grpc.PredictionServiceStub(channel)))
        clients = [senders[number % connections] for number in range(concurrency)]
        return await closed_loop(clients, seconds, begin)


async def rest_load(
    address: str,
    model: str,
    histories: list[list[bytes]],
    concurrency: int,
    seconds: float,
    begin: Begin = lambda: None,
    rows: int = 1,
) -> tuple[float, np.ndarray]:
    """Over keep-alive connections, in as little HTTP as it takes: the client shall cost little."""
    messages = []
    for some in together(histories, rows):
        instances = [{"history": [item.decode() for item in history]} for history in some]
        body = json.dumps({"instances": instances})
        head = f"POST /v1/models/{model}:predict HTTP/1.1\r\nHost: {address}\r\n"
        head += "Content-Type: application/json\r\n"
        messages.append(f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode())
    host, port = address.rsplit(":", 1)
    connections = [await asyncio.open_connection(host, int(port)) for _ in range(concurrency)]

    def sender(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Send:
        async def send(number: int) -> None:
            writer.write(messages[number])
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await (reader.readexactly(int(length[1])) if length else _chunks(reader))
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(body.decode())

        return send

    try:
        senders = [sender(*connection) for connection in connections]
        return await closed_loop(senders, seconds, begin)
    finally:
        for _, writer in connections:
            writer.close()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """A body whose length is not known at its beginning."""
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


async def closed_loop(
    senders: list[Send], seconds: float, begin: Begin = lambda: None
) -> tuple[float, np.ndarray]:
    """Each sender sends its next request when it has its answer. Returns seconds and latencies.

    Calls `begin` when what is counted begins.
    """
    latencies: list[float] = []

    async def client(first: int, send: Send, end: float) -> None:
        number = first * 7
        while (start := time.perf_counter()) < end:
            await send(number % REQUESTS)
            latencies.append(time.perf_counter() - start)
            number += 1

    for duration in (min(1.0, seconds), seconds):  # the first is not counted
        latencies.clear()
        begin()
        start = time.perf_counter()
        await asyncio.gather(*(client(n, s, start + duration) for n, s in enumerate(senders)))
    return time.perf_counter() - start, np.array(latencies)


def sample_histories(address: str, model: str) -> list[list[bytes]]:
    """Random histories of items that the model knows: those that it recommends."""
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        items = [b""]
        for _ in range(10):
            answer = stub.Predict(predict_request(model, items[-LENGTHS[1] :]), timeout=60)
            items += answer.outputs["item"].string_val
    known = sorted(set(items) - {b""})
    draw = random.Random(0)
    return [draw.choices(known, k=draw.randint(*LENGTHS)) for _ in range(REQUESTS)]


def together(histories: list[list[bytes]], rows: int) -> list[list[list[bytes]]]:
    """For each history, the request of so many that begins with it."""
    again = histories + histories
    return [again[first : first + rows] for first in range(len(histories))]


def predict_request(model: str, *histories: list[bytes]) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    longest = max(map(len, histories))
    rows = [[*history, *[b""] * (longest - len(history))] for history in histories]
    request.inputs["history"].CopyFrom(tf.make_tensor_proto(rows, tf.string))
    return request


@dataclasses.dataclass(frozen=True)
class Server:
    """A server in a process of its own: the addresses of its APIs, and its process id."""

    grpc: str
    rest: str
    pid: int

    def memory(self) -> float:
        """MiB that it holds in memory now."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextlib.contextmanager
def running_server(config: pathlib.Path, *flags: str) -> Iterator[Server]:
    """Starts a server, and ends it with the block."""
    command = [
        sys.executable,
        "-m",
        "podway.export.server",
        "--model_config_file",
        str(config),
        *flags,
    ]
    server = subprocess.Popen(
        [*command, "--port", "any", "--rest_api_port", "any"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    try:
        for line in server.stderr:
            if match := re.search(r"serving on gRPC ([^\s,]+), REST ([^\s,]+)", line):
                yield Server(match[1], match[2], server.pid)
                return
        raise SystemExit("the server did not start")
    finally:
        server.terminate()
        server.communicate()


def predict_answer(address: str, model: str, *histories: list[bytes]) -> bytes:
    """The serialised answer to a request."""
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return stub.Predict(predict_request(model, *histories)).SerializeToString()


@dataclasses.dataclass(frozen=True)
class Bare:
    """An empty server in a process of its own: its address and its process id."""

    address: str
    pid: int


@contextlib.contextmanager
def bare_server(serve: Callable[[Connection, bytes], None], answer: bytes) -> Iterator[Bare]:
    """Starts a server that gives every request this answer; `serve` sends its port."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there, answer), daemon=True)
    server.start()
    try:
        assert server.pid is not None
        yield Bare(f"127.0.0.1:{here.recv()}", server.pid)
    finally:
        server.terminate()
        server.join()


def answer_grpc(pipe: Connection, answer: bytes) -> None:
    """A bare server on grpc.aio."""

    async def predict(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return answer

    async def serve() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((predict_handler(predict),))
        pipe.send(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        await server.wait_for_termination()

    uvloop.run(serve())


def predict_handler(predict: Callable) -> grpc.GenericRpcHandler:
    """The Predict of PredictionService, from bytes to bytes."""
    handlers = {"Predict": grpc.unary_unary_rpc_method_handler(predict)}
    service = "tensorflow.serving.PredictionService"
    return grpc.method_handlers_generic_handler(service, handlers)


def write_model(directory: pathlib.Path, items: int = ITEMS) -> pathlib.Path:
    """A bag-of-items recommender, and the config file that serves it."""
    names = ["", "", *(f"item{row}" for row in range(items))]

    class BagOfItems(tf.Module):
        def __init__(self):
            super().__init__()
            ids = tf.range(2, items + 2, dtype=tf.int64)
            rows = tf.lookup.KeyValueTensorInitializer(tf.constant(names[2:]), ids)
            self.ids = tf.lookup.StaticHashTable(rows, 0)
            self.names = tf.Variable(tf.constant(names), trainable=False)
            self.table = tf.Variable(tf.random.stateless_normal([items + 2, WIDTH], (0, 0)))

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, name="history")])
        def recommend(self, history):
            ids = self.ids.lookup(history)
            known = tf.cast(ids > 0, tf.float32)[..., tf.newaxis]
            count = tf.maximum(tf.reduce_sum(known, 1), 1.0)
            user = tf.reduce_sum(tf.gather(self.table, ids) * known, 1) / count
            score, rows = tf.math.top_k(tf.matmul(user, self.table, transpose_b=True), TOP_K)
            return {"item": tf.gather(self.names, rows), "score": score}

    model, target = BagOfItems(), directory / "bag_of_items" / "1"
    tf.saved_model.save(model, str(target), signatures={"serving_default": model.recommend})
    manifest = target / "assets.extra" / "export.json"
    manifest.parent.mkdir()
    padding = {"serving_default": {"history": ""}}
    manifest.write_text(json.dumps({"details": {"padding": padding}}))
    return write_config(directory, "bag_of_items")


def write_config(directory: pathlib.Path, model: str) -> pathlib.Path:
    """The config file that serves the latest version of a model in the directory."""
    config = directory / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "{model}" model_platform: "tensorflow"'
        f' base_path: "{directory / model}" }} }}'
    )
    return config


if __name__ == "__main__":
    main()
