"""What the gateway adds to a bare proxy of the same libraries; what several processes are worth.

    python -m benchmarks.online.gateway
    python -m benchmarks.online.gateway --workers 1 2 4 --rate 200

Both take a user by REST and ask a model server by gRPC (a process that answers at once); both give
20 items. The proxy knows nothing: JSON in, one call, JSON out. The bare service is the proxy that
reads the user's history from the store first, as any recommendation service must. The gateway
reads histories and attributes from a store in SQLite, applies rules, and publishes what was shown.
Measured are the processor time of a request, all threads, at 8 requests at a time; and the latency
at a rate that does not wait for answers, from when each request was to be sent.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import aiohttp
import grpc
import grpc.aio
from aiohttp import web
from prometheus_client.registry import CollectorRegistry

from podway.framework.config.online import Budget, Gateway, Online, Rules
from podway.online.gateway import lists
from podway.online.gateway.process import serve, workers
from podway.online.servers import messages, rpc
from podway.online.service import stop as stops
from podway.online.store import history as histories
from podway.online.store import open as stores
from podway.online.store.store import HISTORY, ITEM

USERS, ITEMS, LENGTH, AT_A_TIME = 2000, 5000, 50, 8
_TICKS = os.sysconf("SC_CLK_TCK")


async def backend(port: int) -> None:
    """A model server whose answers are there already."""
    answers = []
    for seed in range(64):
        response = messages.PredictResponse()
        response.model_spec.version.value = 1
        items = random.Random(seed).sample(range(ITEMS), 40)
        messages.write(response.outputs.add(key="item").value, [[f"i{n}" for n in items]], "string")
        scores = [[40.0 - at for at in range(40)]]
        messages.write(response.outputs.add(key="score").value, scores, "float32")
        answers.append(response.SerializeToString())
    chance = random.Random(0)

    async def predict(_: bytes, __: grpc.aio.ServicerContext) -> bytes:
        return chance.choice(answers)

    server = grpc.aio.server()
    handlers = {"Predict": grpc.unary_unary_rpc_method_handler(predict)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", handlers),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def proxy(port: int, server: str, folder: str = "") -> None:
    """JSON in, one call, JSON out; with a folder, of the user's history in its store."""
    history = [f"i{n}" for n in range(LENGTH)]
    store = stores.open_store(Online().store, folder, "m") if folder else None
    async with rpc.connected(server) as model:

        async def recommend(http: web.Request) -> web.Response:
            given = json.loads(await http.read())
            items = history
            if store is not None:
                [value] = store.read(HISTORY, [given["user"]])
                assert value is not None
                items = histories.unpack(value.content).items
            answer = await model.predict("m", {"history": [items]}, timeout=1.0)
            [items], [scores] = answer.rows("item"), answer.rows("score")
            found = [
                {"item": item, "score": score}
                for item, score in zip(items[:20], scores[:20], strict=True)
            ]
            return web.json_response({"user": given["user"], "items": found})

        app = web.Application()
        app.router.add_post("/v1/recommend", recommend)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


def gateway(port: int, server: str, folder: str, count: int, cached: bool) -> None:
    """Ours, with a store that is filled."""
    config = Online(
        gateway=Gateway(
            server=server,
            cache_seconds=60.0 if cached else 0.0,
            rules=Rules(category="kind", per_category=10),
            budget=Budget(seconds=5.0),
            log_share=0.0,
            always=("i0",),
        )
    )
    options = serve.Options(config, "m", folder, port=port, workers=count)
    with stops.asked() as stop:
        if count > 1:
            workers.run(options, stop, lambda _, __: contextlib.nullcontext())
        else:
            serve.run(options, stop, CollectorRegistry(), lambda _: None)


def fill(folder: str) -> None:
    chance = random.Random(1)
    with stores.opened(Online().store, folder, "m") as store:
        values = {}
        for user in range(USERS):
            items = [f"i{n}" for n in chance.sample(range(ITEMS), LENGTH)]
            times = [1_700_000_000_000_000 + 10**6 * at for at in range(LENGTH)]
            values[f"u{user}"] = histories.pack(histories.of(items, times))
        store.write(HISTORY, values)
        kinds = [json.dumps({"title": f"Title {n}", "kind": f"k{n % 20}"}) for n in range(ITEMS)]
        store.write(ITEM, {f"i{n}": kind.encode() for n, kind in enumerate(kinds)})
        lists.write(store, {"popular": [(f"i{n}", float(ITEMS - n)) for n in range(200)]})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def started(*arguments: str, port: int) -> Iterator[subprocess.Popen]:
    """A part of the benchmark as a process that listens."""
    command = [sys.executable, "-m", "benchmarks.online.gateway", *arguments]
    process = subprocess.Popen(command)
    try:
        while True:
            assert process.poll() is None
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def processor(pid: int) -> float:
    """Seconds of a process, its threads and its children."""
    total = 0.0
    for place in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            after = (place / "stat").read_text().rpartition(")")[2].split()
            if int(place.name) == pid or int(after[1]) == pid:
                total += (int(after[11]) + int(after[12])) / _TICKS
    return total


async def ask(session: aiohttp.ClientSession, url: str, chance: random.Random) -> int:
    body = {"user": f"u{chance.randrange(USERS)}", "k": 20}
    async with session.post(url, json=body) as response:
        answer = await response.json()
        return response.status == 200 and len(answer["items"]) == 20


async def closed(url: str, seconds: float) -> tuple[int, int]:
    """Requests, and those without 20 items, at AT_A_TIME."""
    end, counted, bad, chance = time.monotonic() + seconds, 0, 0, random.Random(2)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one() -> None:
            nonlocal counted, bad
            while time.monotonic() < end:
                bad += not await ask(session, url, chance)
                counted += 1

        await asyncio.gather(*(one() for _ in range(AT_A_TIME)))
    return counted, bad


async def opened(url: str, rate: float, seconds: float) -> list[float]:
    """Milliseconds of each request from when it was to be sent; they come as they please."""
    chance, found, tasks = random.Random(3), [], set()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(due: float) -> None:
            await ask(session, url, chance)
            found.append((time.monotonic() - due) * 1e3)

        due = time.monotonic()
        end = due + seconds
        while due < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(one(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due += chance.expovariate(rate)
        await asyncio.gather(*tasks)
    return sorted(found)


def row(name: str, pid: int, port: int, rate: float, seconds: float) -> float:
    """Measures one; gives the microseconds of the processor for a request."""
    url = f"http://127.0.0.1:{port}/v1/recommend"
    asyncio.run(closed(url, seconds / 2))
    before = processor(pid)
    counted, bad = asyncio.run(closed(url, seconds))
    spent = (processor(pid) - before) / counted * 1e6
    late = asyncio.run(opened(url, rate, seconds))
    p50, p99 = (late[int(len(late) * share)] for share in (0.5, 0.99))
    print(
        f"{name:<28}{spent:>8.0f} µs{counted / seconds:>9.0f}/s{p50:>9.1f} ms{p99:>9.1f} ms"
        f"{bad:>8}",
        flush=True,
    )
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second, for latency")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        kind, port, *more = given.part
        if kind == "backend":
            asyncio.run(backend(int(port)))
        elif kind == "proxy":
            run(proxy(int(port), *more))
        else:
            gateway(int(port), more[0], more[1], int(more[2]), more[3] == "cached")
        return
    print(f"{'':<28}{'CPU':>11}{'at 8':>11}{'p50':>12}{'p99':>12}{'short':>8}")
    with tempfile.TemporaryDirectory() as folder:
        fill(folder)
        server = free_port()
        with started("--part", "backend", str(server), port=server):
            for _ in range(given.rounds):
                compared(folder, f"127.0.0.1:{server}", given)


def compared(folder: str, server: str, given: argparse.Namespace) -> None:
    """One round: the proxy, the bare service, and the gateway in each form."""
    port = free_port()
    with started("--part", "proxy", str(port), server, port=port) as process:
        bare = row("bare proxy", process.pid, port, given.rate, given.seconds)
    port = free_port()
    with started("--part", "proxy", str(port), server, folder, port=port) as process:
        spent = row("bare service", process.pid, port, given.rate, given.seconds)
        print(f"{'':<28}{spent / bare:>8.2f} × the bare proxy", flush=True)
    forms = [(count, "asked") for count in given.workers] + [(1, "cached")]
    for count, cached in forms:
        port = free_port()
        part = ("--part", "gateway", str(port), server, folder, str(count), cached)
        with started(*part, port=port) as process:
            time.sleep(2.0)  # all workers are there
            name = f"gateway, {count} process" + "es" * (count > 1)
            name += ", cached" if cached == "cached" else ""
            spent = row(name, process.pid, port, given.rate, given.seconds)
        print(f"{'':<28}{spent / bare:>8.2f} × the bare proxy", flush=True)


def run(coroutine) -> None:
    """By the loop that the gateway uses."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)


if __name__ == "__main__":
    assert threading.current_thread() is threading.main_thread()
    main()
