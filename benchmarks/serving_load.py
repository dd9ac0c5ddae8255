"""The embedded server in an open loop: at part of its capacity, over it, and while versions change.

    python -m benchmarks.serving_load
    python -m benchmarks.serving_load --minutes 10     # so long above capacity
    python -m benchmarks.serving_load --items 3700     # a model that costs next to nothing
    python -m benchmarks.serving_load --version-folder w/models/NAME/1    # a published one

The model scores so many items that the server spends its time in the model. It runs with
`max_batch_size` and `max_enqueued_batches` as given, which bound what an accepted request waits
for: the run in progress, the batches in the queue, its own. Capacity is what a closed loop of as
many clients as a batch has rows gets, measured first. Then requests arrive at random (Poisson) at a
share of it, whether or not earlier ones were answered, as they do in production; then at a multiple
of it, where the server must refuse what it can't answer in time and keep its memory: of its
samples, one a second, the largest of the first and of the last quarter are shown; then a new
version is published while requests run, and its first answer is timed. gRPC, on loopback: the
client shares the cores with the server, and so has a part in the capacity.
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import pathlib
import random
import shutil
import tempfile
import time
from collections.abc import Iterator

import grpc
import numpy as np
import uvloop
from tensorflow_serving.apis import prediction_service_pb2_grpc

from benchmarks import serving

MODEL = "bag_of_items"
DEADLINE = 10.0
"""Seconds that a client waits."""


@dataclasses.dataclass
class Load:
    """What became of an open loop's requests.

    Attributes:
      sent: seconds since the start at which each answered request was sent.
      latencies: seconds until its answer.
      versions: which version answered.
      refused: requests by status code.
      memory: MiB of the server, once a second.
    """

    sent: list[float] = dataclasses.field(default_factory=list)
    latencies: list[float] = dataclasses.field(default_factory=list)
    versions: list[int] = dataclasses.field(default_factory=list)
    refused: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    memory: list[float] = dataclasses.field(default_factory=list)

    def growth(self) -> tuple[float, float]:
        """The largest memory of the first quarter, and of the last."""
        quarter = max(1, len(self.memory) // 4)
        return max(self.memory[:quarter]), max(self.memory[-quarter:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--minutes", type=float, default=0.0, help="of the load above capacity")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5, 0.75])
    parser.add_argument("--items", type=int, default=100_000, help="that the model scores")
    parser.add_argument("--version-folder", type=pathlib.Path, help="of a recommender, to serve it")
    parser.add_argument("--batch", type=int, default=2, help="max_batch_size")
    parser.add_argument("--queue", type=int, default=1, help="max_enqueued_batches")
    parser.add_argument("--threads", type=int, default=1, help="num_batch_threads")
    parser.add_argument("--over", type=float, default=2.0, help="multiple of the capacity")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, served(pathlib.Path(name), options) as server:
        folder = pathlib.Path(name)
        histories = serving.sample_histories(server.grpc, MODEL)
        capacity = measured(server, histories, options.batch, min(options.seconds, 5.0))
        print(f"capacity: {capacity:.0f} QPS in a closed loop of {options.batch} clients")
        print(
            f"{'load':>22}{'answered/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'memory, MiB':>15}  refused"
        )
        for share in [*options.shares, options.over]:
            above = share == options.over and options.minutes
            seconds = options.minutes * 60 if above else options.seconds
            load = uvloop.run(open_loop(server, histories, share * capacity, seconds))
            report(f"{share:.2f} × capacity", load, seconds)
        switch(server, folder, histories, capacity / 4, max(options.seconds, 10.0))


@contextlib.contextmanager
def served(folder: pathlib.Path, options: argparse.Namespace) -> Iterator[serving.Server]:
    """A server of a model in the folder, with the batching of the options."""
    if options.version_folder:
        shutil.copytree(options.version_folder, folder / MODEL / "1")
        config = serving.write_config(folder, MODEL)
    else:
        config = serving.write_model(folder, options.items)
    batching = folder / "batching.pbtxt"
    batching.write_text(
        f"max_batch_size {{ value: {options.batch} }} batch_timeout_micros {{ value: 0 }}"
        f" max_enqueued_batches {{ value: {options.queue} }}"
        f" num_batch_threads {{ value: {options.threads} }}"
    )
    flags = ("--enable_batching", f"--batching_parameters_file={batching}")
    with serving.running_server(config, *flags) as server:
        yield server


def measured(
    server: serving.Server, histories: list[list[bytes]], clients: int, seconds: float
) -> float:
    """Requests a second in a closed loop."""
    seconds, latencies = uvloop.run(
        serving.grpc_load(server.grpc, MODEL, histories, clients, seconds)
    )
    return len(latencies) / seconds


def switch(
    server: serving.Server,
    folder: pathlib.Path,
    histories: list[list[bytes]],
    rate: float,
    seconds: float,
) -> None:
    """Publishes version 2 in the middle of a load, and prints what the clients noticed."""
    published = seconds / 3

    async def both() -> Load:
        async def publish() -> None:
            await asyncio.sleep(published)
            base = folder / MODEL
            await asyncio.to_thread(shutil.copytree, base / "1", base / "_2")
            (base / "_2").rename(base / "2")

        load, _ = await asyncio.gather(open_loop(server, histories, rate, seconds), publish())
        return load

    load = uvloop.run(both())
    sent, latencies = np.array(load.sent), np.array(load.latencies)
    if 2 not in load.versions:
        raise SystemExit(f"the new version was not loaded in {seconds - published:.0f} s of load")
    new = load.versions.index(2)
    before, after = latencies[sent < published], latencies[sent >= published]
    p99 = [np.quantile(part, 0.99) * 1e3 for part in (before, after)]
    print(
        f"a new version under {rate:.0f} QPS: {len(latencies)} answered, refused"
        f" {dict(load.refused) or 'none'}; p99 {p99[0]:.2f} ms before, {p99[1]:.2f} ms after"
        f" (×{p99[1] / p99[0]:.2f}), the slowest {after.max() * 1e3:.1f} ms;"
        f" the first answer of the new version {latencies[new] * 1e3:.2f} ms"
    )


async def open_loop(
    server: serving.Server, histories: list[list[bytes]], rate: float, seconds: float
) -> Load:
    """Sends requests at random moments, on average `rate` a second."""
    draw, load = random.Random(0), Load()
    requests = [serving.predict_request(MODEL, history) for history in histories]
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        await stub.Predict(requests[0])
        start = time.perf_counter()

        async def send(number: int, at: float) -> None:
            # From when it was due, not from when this process found the time to send it.
            try:
                request = requests[number % len(requests)]
                answer = await stub.Predict(request, timeout=DEADLINE)
            except grpc.aio.AioRpcError as error:
                load.refused[error.code().name] += 1
                return
            load.sent.append(at)
            load.latencies.append(time.perf_counter() - start - at)
            load.versions.append(answer.model_spec.version.value)

        tasks, due, number = set(), 0.0, 0
        while due < seconds:
            if due >= len(load.memory):
                load.memory.append(server.memory())
            wait = due - (time.perf_counter() - start)
            await asyncio.sleep(max(wait, 0.0))
            tasks.add(task := asyncio.create_task(send(number, due)))
            task.add_done_callback(tasks.discard)
            number += 1
            due += draw.expovariate(rate)
        await asyncio.gather(*tasks)
    return load


def report(name: str, load: Load, seconds: float) -> None:
    p50, p99 = np.quantile(load.latencies, [0.5, 0.99]) * 1e3
    first, last = load.growth()
    print(
        f"{name:>22}{len(load.latencies) / seconds:12.0f}{p50:9.2f}{p99:9.2f}"
        f"{first:8.0f} →{last:5.0f}  {dict(load.refused) or 'none'}",
        flush=True,
    )


if __name__ == "__main__":
    main()
