"""What callers see when the model server, the store or the queue is killed, hangs, comes back.

Under load, by real processes and files; what stands in is counted, and nothing is restarted but
what was killed.
"""

import contextlib
import os
import pathlib
import signal
import sqlite3
import threading
import time
import urllib.request

import pytest
from prometheus_client.registry import CollectorRegistry

from podway.framework.config.online import (
    Budget,
    Gateway,
    Guard,
    Online,
    RedisStore,
    SqliteQueue,
    SqliteStore,
)
from podway.online.gateway.process.serve import Running
from podway.online.store.answers import LIST, pack_list
from tests.export.server.conftest import Site, library
from tests.online.gateway.gateways import (
    Client,
    backend,
    fill,
    free_port,
    listens,
    load,
    process,
    running,
    store_of,
    wait_for,
)
from tests.online.store import servers

__all__ = ["library"]

USERS = [f"u{number}" for number in range(20)]
HISTORIES = {user: ["a", f"h{user}"] for user in USERS}
POPULAR = {"popular": [(f"i{n}", 50.0 - n) for n in range(30, 45)]}
GUARD = Guard(calls=5, window_seconds=1.0, open_seconds=0.3)
RATE = 60.0


def online(folder, server, store=None, **fields) -> Online:
    """A gateway that asks the model at each request, and has half a second for it."""
    chosen = {"budget": Budget(seconds=0.8), "guard": GUARD, "cache_seconds": 0.0, "k": 5}
    return Online(
        queue=SqliteQueue(path=str(folder / "queue.sqlite")),
        store=store or SqliteStore(path=str(folder / "store.sqlite")),
        gateway=Gateway(
            server=server, **{**chosen, "log_share": 0.0, "lists_seconds": 0.2, **fields}
        ),
    )


def filled(config, folder):
    store = store_of(config, folder)
    fill(store, HISTORIES, **POPULAR)
    store.close()


def settled(seen, wanted, seconds=20.0):
    """Waits until 30 answers in a row have these sources alone."""
    end = time.monotonic() + seconds
    seen.turn()
    while True:
        time.sleep(30 / RATE)
        found = seen.turn()
        if found and set(found) <= set(wanted):
            return found
        assert time.monotonic() < end, found


def nobody_saw_it(seen, slowest=5.0):
    """All requests were answered, with items, in time from when they were to be sent."""
    assert set(seen.statuses) == {200}, seen.statuses
    assert not seen.empty
    late = sorted(seen.seconds)
    assert late[int(0.99 * len(late))] < slowest, late[-5:]


@pytest.mark.slow
def test_the_embedded_model_server_is_killed(tmp_path, library):
    (tmp_path / "m").mkdir()
    site = Site(tmp_path, library)
    site.put(1)
    site.ask_for_versions(1)
    port, rest = free_port(), free_port()
    command = (
        "-m",
        "podway.export.server",
        f"--model_config_file={site.config}",
        f"--port={port}",
        f"--rest_api_port={rest}",
    )
    config = online(tmp_path, f"127.0.0.1:{port}", last_seconds=1.5)
    filled(config, tmp_path)
    with (
        process(*command) as server,
        running(config, tmp_path) as client,
        load(client, USERS, RATE) as seen,
    ):
        settled(seen, {"model"}, 120)
        before = client.counted("answers_total", source="model")
        server.send_signal(signal.SIGKILL)
        server.wait()
        settled(seen, {"last", "popular"})
        settled(seen, {"popular"})  # the last answers are too old
        assert client.get("", "/readyz")[0] == 200, "a gateway that answers is ready"
        codes = ("UNAVAILABLE", "LEFT_ALONE")
        missing = {c: client.counted("missing_total", hop="retrieve", code=c) for c in codes}
        assert missing["LEFT_ALONE"] > missing["UNAVAILABLE"], "it is left alone"
        for source in ("last", "popular"):
            assert client.counted("answers_total", source=source) > 10
        with process(*command):
            settled(seen, {"model"}, 120)
            assert client.counted("answers_total", source="model") > before
    nobody_saw_it(seen, 20.0)  # TensorFlow starts beside it


def test_the_model_server_hangs(tmp_path):
    port = free_port()
    config = online(tmp_path, f"127.0.0.1:{port}", last_seconds=0.0)
    filled(config, tmp_path)
    with (
        backend(port) as server,
        running(config, tmp_path) as client,
        load(client, USERS, RATE) as seen,
    ):
        settled(seen, {"model"})
        server.send_signal(signal.SIGSTOP)
        settled(seen, {"popular"})
        assert client.counted("missing_total", hop="retrieve", code="DEADLINE_EXCEEDED") > 0
        server.send_signal(signal.SIGCONT)
        settled(seen, {"model"})
    nobody_saw_it(seen)


def test_lists_that_were_made_beforehand_stand_in_for_the_model(tmp_path):
    """For users whom the gateway never saw, once the model server is killed; not if too old."""
    port, now = free_port(), time.time()
    config = online(tmp_path, f"127.0.0.1:{port}", lists_seconds=3600.0, stored_seconds=7200.0)
    filled(config, tmp_path)
    store = store_of(config, tmp_path)
    made = [("i7", 3.0), ("hu3", 2.5), ("i9", 2.0)]
    for user, age in (("u3", 3600.0), ("u4", 7300.0), ("new", 60.0)):
        store.write(LIST, {user: pack_list("5f7c", now - age, made)})
    store.write(LIST, {"u5": b"nonsense"})
    store.close()
    with running(config, tmp_path) as client:
        with backend(port) as server:
            wait_for(lambda: client.ask("u1")["source"] == "model")
            assert client.ask("u3", items=["x"])["age_seconds"] == 0.0
            stored = client.ask("new", k=2)
            assert stored["source"] == "stored", "nothing is known of the user, but this"
            server.send_signal(signal.SIGKILL)
            server.wait()
        last = client.ask("u1")
        assert (last["source"], last["age_seconds"] > 0) == ("last", True)
        answer = client.ask("u3", k=4)
        assert (answer["source"], answer["model"]["name"]) == ("last", "m"), "it was seen"
        store = store_of(config, tmp_path)
        store.write(LIST, {"u2": pack_list("5f7c", now - 3600.0, [("i7", 3.0), ("hu2", 2.5)])})
        store.close()
        answer = client.ask("u2", k=3)
        assert (answer["source"], answer["model"]) == (
            "stored",
            {"name": "5f7c", "version": None, "arm": ""},
        )
        assert 3600 <= answer["age_seconds"] < 4600
        assert answer["missing"]["retrieve"] in ("UNAVAILABLE", "LEFT_ALONE")
        assert [(each["item"], each["reason"]) for each in answer["items"]] == [
            ("i7", "stored"),
            ("i30", "popular"),
            ("i31", "popular"),
        ], "what the user has had is left out"
        for user in ("u4", "u5", "u6"):
            answer = client.ask(user)
            assert (answer["source"], answer["age_seconds"]) == ("popular", None), user
        assert client.counted("answers_total", source="stored") == 2


def test_the_store_is_killed_hangs_and_comes_back(tmp_path):
    port = free_port()
    with servers.redis() as redis, backend(port):
        store = RedisStore(url=f"redis://127.0.0.1:{redis.port}/0", timeout=0.5)
        config = online(tmp_path, f"127.0.0.1:{port}", store, item_seconds=0.1)
        filled(config, tmp_path)
        with running(config, tmp_path) as client, load(client, USERS, RATE) as seen:
            settled(seen, {"model"})
            for stop, go in ((redis.kill, redis.start), (redis.pause, redis.resume)):
                stop()
                wait_for(lambda: client.ask("u1")["missing"].get("store"))
                settled(seen, {"model"})
                answer = client.ask("u1")
                assert answer["source"] == "model", "by the history that was read last"
                assert answer["items"][0]["attributes"] == {"title": "Title 0", "kind": "k0"}
                unknown = client.ask("somebody else")
                assert unknown["source"] == "popular"
                go()
                wait_for(lambda: not client.ask("u1")["missing"])
            assert client.counted("missing_total", hop="store", code="UNAVAILABLE") > 10
        nobody_saw_it(seen)


def test_a_store_that_comes_after_the_gateway(tmp_path):
    port = free_port()
    with servers.redis() as redis:
        redis.kill()
        store = RedisStore(url=f"redis://127.0.0.1:{redis.port}/0", timeout=0.5)
        config = online(tmp_path, f"127.0.0.1:{port}", store, cold="model")
        with running(config, tmp_path) as client:
            status, why, _ = client.get("", "/readyz")
            assert status == 503
            assert "neither the model nor the lists" in why
            answer = client.ask("u1")
            assert (answer["items"], answer["source"]) == ([], "none")
            with backend(port):
                wait_for(lambda: client.get("", "/readyz")[0] == 200)
                assert client.ask("u1", items=["i0"])["items"][0]["item"] == "i1"
                redis.start()
                filled(config, tmp_path)
                wait_for(lambda: not client.ask("u1")["missing"])


def test_the_queue_is_not_to_be_had(tmp_path):
    """Impressions wait, then are dropped and counted; each answer is one or the other."""
    port = free_port()
    config = online(tmp_path, f"127.0.0.1:{port}", buffer=50, drain_seconds=20.0)
    filled(config, tmp_path)
    with (
        backend(port),
        running(config, tmp_path) as client,
        load(client, USERS, RATE) as seen,
    ):
        wait_for(lambda: client.counted("impressions_total", outcome="published") > 0)
        holder = sqlite3.connect(tmp_path / "queue.sqlite", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        wait_for(lambda: client.counted("impressions_total", outcome="dropped") > 20)
        settled(seen, {"model"})
        published = client.counted("impressions_total", outcome="published")
        holder.execute("ROLLBACK")
        holder.close()
        wait_for(lambda: client.counted("impressions_total", outcome="published") > published + 50)
    nobody_saw_it(seen)
    found = sqlite3.connect(tmp_path / "queue.sqlite")
    [[kept]] = found.execute("SELECT count(DISTINCT value) FROM message")
    found.close()
    dropped = client.counted("impressions_total", outcome="dropped")
    assert kept + dropped == seen.statuses[200]


def test_all_of_them_at_once(tmp_path):
    port = free_port()
    with servers.redis() as redis:
        store = RedisStore(url=f"redis://127.0.0.1:{redis.port}/0", timeout=0.5)
        config = online(tmp_path, f"127.0.0.1:{port}", store, last_seconds=0.0)
        filled(config, tmp_path)
        with running(config, tmp_path) as client, load(client, USERS, RATE) as seen:
            with backend(port):
                settled(seen, {"model"})
                holder = sqlite3.connect(tmp_path / "queue.sqlite", isolation_level=None)
                holder.execute("BEGIN EXCLUSIVE")
                redis.kill()
            settled(seen, {"popular"})
            assert client.ask("u1")["items"][0]["attributes"]["title"] == "Title 30"
            holder.execute("ROLLBACK")
            holder.close()
            redis.start()
            with backend(port):
                settled(seen, {"model"})
        nobody_saw_it(seen)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_it_ends_in_good_order(tmp_path, workers):
    """SIGTERM while requests are under way: all are answered, and what was shown is published."""
    port = free_port()
    config = tmp_path / "mine.py"
    config.write_text(
        "import dataclasses\n"
        "from podway.configs import movielens_sasrec\n"
        "from podway.framework.config.online import Budget, Gateway, Online\n"
        "def experiment():\n"
        f"    gateway = Gateway(server='127.0.0.1:{port}', model='m', cache_seconds=0.0,\n"
        "        budget=Budget(seconds=3.0, retrieve=0.7, store=0.1), cold='model',\n"
        "        leave_seconds=3.0)\n"
        "    online = Online(gateway=gateway)\n"
        "    return dataclasses.replace(movielens_sasrec.experiment(), online=online)\n"
    )
    own, rpc, page = free_port(), free_port(), free_port()
    command = ("-m", "podway.launch.cli", "gateway", str(config), "--workdir", str(tmp_path))
    ports = ("--port", str(own), "--grpc-port", str(rpc), "--page-port", str(page))
    with (
        backend(port, seconds=0.5),
        process(*command, *ports, "--workers", str(workers)) as started,
    ):
        wait_for(lambda: started.poll() is not None or listens(page), 90)
        client = _there(own)
        wait_for(lambda: client.get("", "/readyz")[0] == 200)
        with load(client, ["u1"], 40.0, items=["i1"]) as seen:
            wait_for(lambda: seen.statuses[200] > 40)
            if workers > 1:
                _a_worker_that_ends_is_started_again(started)
        text = _page(page)
        total = (
            f'podway_gateway_requests_total{{protocol="REST",status="OK"}} {seen.statuses[200]:.1f}'
        )
        assert workers > 1 or total in text
        assert 'podway_gateway_breaker{backend="store"}' in text
        with load(client, ["u1"], 40.0, items=["i1"]) as seen:
            wait_for(lambda: seen.statuses[200] > 10)
        with load(client, ["u1"], 40.0, items=["i1"]) as last:
            wait_for(lambda: len(last.seconds) > 10)
            started.send_signal(signal.SIGTERM)
            # As a balancer does: it goes on until it sees that the gateway is about to end.
            wait_for(lambda: client.get("", "/readyz")[0] == 503)
        assert started.wait(60) == 0
        assert set(last.statuses) == {200}, last.statuses


def _a_worker_that_ends_is_started_again(started):
    workers = _children(started.pid)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    wait_for(lambda: len(now := _children(started.pid)) == 2 and workers[0] not in now)


def _children(parent):
    """Processes that multiprocessing has spawned for it."""
    found = []
    for place in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            after = (place / "stat").read_text().rpartition(")")[2].split()
            if int(after[1]) == parent and "spawn_main" in (place / "cmdline").read_text():
                found.append(int(place.name))
    return sorted(found)


def _there(port):
    return Client(Running(port, 0, lambda: ""), CollectorRegistry(), threading.Event())


def _page(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return response.read().decode()
