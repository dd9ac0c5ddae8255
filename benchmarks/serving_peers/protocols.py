"""gRPC beside REST: the same requests to the same server, in turns, and what their libraries cost.

    python -m benchmarks.serving_peers.protocols
    python -m benchmarks.serving_peers.protocols --rows 64

"gRPC" is asked by raw frames (http2.py), as REST is, so that the client costs the same; "gRPC's
client" by grpc.aio, on one connection, as from Python. The bare servers send everybody the same
bytes: what is between them is what Python's gRPC costs more than HTTP does, whatever the server
does with a request.
"""

import argparse
import contextlib
import functools
import pathlib
import tempfile

from benchmarks import serving
from benchmarks.serving_peers import bare, http2, rounds, table
from benchmarks.serving_peers.__main__ import MODEL, published, request
from benchmarks.serving_peers.rounds import Server

REST = "REST"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1, help="histories of a request")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each server in each round")
    parser.add_argument("--version-folder", type=pathlib.Path, help="of a recommender, to serve it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        config = published(pathlib.Path(name), options.version_folder)
        own = stack.enter_context(serving.running_server(config))
        histories = serving.sample_histories(own.grpc, MODEL)
        some = histories[: options.rows]
        message = serving.predict_answer(own.grpc, MODEL, *some)

        def empty(serve, answer: bytes) -> serving.Bare:
            return stack.enter_context(serving.bare_server(serve, answer))

        rest = empty(bare.answer_rest, request(some).content(own.rest))
        aio, threads = (
            empty(serve, message) for serve in (serving.answer_grpc, bare.answer_grpc_threads)
        )
        loads = [
            (REST, own.pid, serving.rest_load, own.rest),
            ("gRPC", own.pid, http2.load, own.grpc),
            ("gRPC, gRPC's client", own.pid, serving.grpc_load, own.grpc),
            ("bare REST (aiohttp)", rest.pid, serving.rest_load, rest.address),
            ("bare gRPC (grpc.aio)", aio.pid, http2.load, aio.address),
            ("bare gRPC (threads)", threads.pid, http2.load, threads.address),
        ]
        asked = {"model": MODEL, "histories": histories, "rows": options.rows}
        servers = [
            Server(name, pid, functools.partial(load, address, **asked))
            for name, pid, load, address in loads
        ]
        samples = rounds.measure(servers, options.concurrency, options.rounds, options.seconds)
    print(f"{MODEL}, {options.rows} histories a request\n{table.heading()}")
    for number, found in samples.items():
        for row in table.rows(found, REST):
            print(table.line(row, number))


if __name__ == "__main__":
    main()
