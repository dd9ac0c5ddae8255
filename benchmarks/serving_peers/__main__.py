"""The embedded server beside FastAPI, BentoML, MLServer, LitServe and Ray Serve.

    python -m benchmarks.serving_peers
    python -m benchmarks.serving_peers --peers fastapi mlserver --concurrency 8
    python -m benchmarks.serving_peers --version-folder w/models/NAME/1    # a published recommender

All serve the same SavedModel by the same TensorFlow, get the same requests (one history of 1 to 50
items, as TensorFlow Serving's JSON) and give the same answers, which is checked first. Each is set
up as its documentation does it, with its own batching, and with one process that runs the model
(programs/ has them). They are asked in turns, round after round, in a closed loop on loopback; who
is not asked stands still (SIGSTOP), and takes nothing from who is. "bare" servers send the same
bytes to everybody.

The client is one process, and shares the cores. What does not depend on it, nor on what else the
machine does, is the CPU time of a request: that of all processes of a server, user's and system's.
Ratios are over the embedded server's, × 2 in each column being what is hoped for: its requests a
second over theirs, their CPU over its; of p99 less is better.

The peers' packages conflict with each other: each has an environment of its own below --venvs, made
once, with the TensorFlow of this one. Who cannot be installed or does not serve is left out by
name.
"""

import argparse
import contextlib
import datetime
import functools
import pathlib
import shutil
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf

from benchmarks import serving
from benchmarks.serving_peers import bare, peers, processes, rounds, table
from benchmarks.serving_peers.peers import PeerError, Request
from benchmarks.serving_peers.rounds import Server
from podway.export.server.runtime import servable

MODEL, OURS = "bag_of_items", "podway"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [peer.name for peer in peers.PEERS]
    parser.add_argument("--peers", nargs="*", default=names, choices=names)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each server in each round")
    parser.add_argument("--version-folder", type=pathlib.Path, help="of a recommender, to serve it")
    parser.add_argument("--venvs", type=pathlib.Path, default=peers.CACHE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        config = published(folder, options.version_folder)
        own = stack.enter_context(serving.running_server(config))
        histories = serving.sample_histories(own.grpc, MODEL)
        ask = request(histories[:8])
        servers = [_asked(OURS, own.pid, own.rest, histories)]
        model, answers = str(folder / MODEL / "1"), ask.answer(own.rest)
        for peer in peers.PEERS:
            if peer.name not in options.peers:
                continue
            try:
                place = peers.environment(peer, options.venvs, tf.__version__)
                running = peers.running(peer, place, folder / peer.name, ask, model=model)
                found = stack.enter_context(running)
                peers.check(peer.name, ask.answer(found.address), answers)
                processes.pause(found.pid)  # while the others start
            except PeerError as error:
                print(f"left out: {error}", file=sys.stderr)
                continue
            name = f"{peer.name} {peers.version(peer, place)}"
            servers.append(_asked(name, found.pid, found.address, histories))
        limits = bare_servers(stack, folder, request(histories[:1]), own, histories, options)
        print(f"{MODEL}, TensorFlow {tf.__version__}, {datetime.date.today()}: {bare_model(model)}")
        samples = rounds.measure(
            [*servers, *limits], options.concurrency, options.rounds, options.seconds
        )
    report(samples, {server.name for server in servers[1:]})


def report(samples: dict[int, dict[str, list[table.Sample]]], names: set[str]) -> None:
    """Prints the table, and who is the best of the peers."""
    print(table.heading())
    found = {number: table.rows(of, OURS) for number, of in samples.items()}
    for number, rows in found.items():
        for row in rows:
            print(table.line(row, number))
    for number, rows in found.items():
        if any(row.name in names for row in rows):
            best = table.best(rows, names)
            print(
                f"concurrency {number}: the best peer is {best.name}; {OURS} answers"
                f" × {best.rate_ratio:.2f} as many at × {best.p99_ratio:.2f} its p99;"
                f" the peer takes × {best.server_ratio:.2f} the CPU"
            )


def request(histories: list[list[bytes]]) -> Request:
    """One request of these histories."""
    path = f"/v1/models/{MODEL}:predict"
    return Request(path, tuple(tuple(item.decode() for item in row) for row in histories))


def published(folder: pathlib.Path, version_folder: pathlib.Path | None) -> pathlib.Path:
    """The config that serves this version, or else the small model, from the folder."""
    if version_folder is None:
        return serving.write_model(folder)
    shutil.copytree(version_folder, folder / MODEL / "1")
    return serving.write_config(folder, MODEL)


def bare_servers(
    stack: contextlib.ExitStack,
    folder: pathlib.Path,
    ask: Request,
    own: serving.Server,
    histories: list[list[bytes]],
    options: argparse.Namespace,
) -> list[Server]:
    """Empty ones on aiohttp, as ours is, and on uvicorn, as most of the others are."""
    answer = ask.content(own.rest)
    aiohttp = stack.enter_context(serving.bare_server(bare.answer_rest, answer))
    found = [_asked("bare aiohttp", aiohttp.pid, aiohttp.address, histories)]
    file = folder / "answer.json"
    file.write_bytes(answer)
    try:
        place = peers.environment(peers.FASTAPI, options.venvs, tf.__version__)
        running = peers.running(peers.BARE, place, folder / "bare", ask, answer=str(file))
        uvicorn = stack.enter_context(running)
    except PeerError as error:
        print(f"left out: {error}", file=sys.stderr)
        return found
    return [*found, _asked(peers.BARE.name, uvicorn.pid, uvicorn.address, histories)]


def _asked(name: str, pid: int, address: str, histories: list[list[bytes]]) -> Server:
    return Server(name, pid, functools.partial(serving.rest_load, address, MODEL, histories))


def bare_model(directory: str, seconds: float = 1.0) -> str:
    """What the model costs without a server, as a sentence."""
    history = np.full((1, 25), b"item1", object)
    loaded = tf.saved_model.load(directory)
    function = loaded.signatures[servable.DEFAULT_SIGNATURE]  # type: ignore[attr-defined]
    session = servable.load(directory).signature("")

    def cost(run, rows: int) -> float:
        inputs, count = np.repeat(history, rows, axis=0), 0
        run(inputs)
        start, end = time.process_time(), time.perf_counter() + seconds
        while time.perf_counter() < end:
            run(inputs)
            count += rows
        return (time.process_time() - start) / count * 1e3

    def call(inputs: np.ndarray) -> None:
        for output in function(history=tf.constant(inputs)).values():
            output.numpy()

    ours = ", ".join(f"{cost(lambda i: session.run([i]), rows):.3f}" for rows in (1, 8, 32))
    theirs = ", ".join(f"{cost(call, rows):.3f}" for rows in (1, 8, 32))
    return (
        f"the model alone takes {ours} ms of CPU for a history in batches of 1, 8, 32, called as"
        f" {OURS} does; {theirs} ms as the peers do"
    )


if __name__ == "__main__":
    main()
