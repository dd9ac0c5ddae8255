"""Answers that are made beforehand are those that a server gives to the same histories."""

import json
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq
import pytest

from podway.export.verification.recommender import compare
from podway.launch.batch import predict
from podway.launch.batch.source import OfUsers
from tests.export.server.conftest import free_ports
from tests.launch import world

K, TOP = 5, 12
MOST = 180.0
"""Seconds that a server has to begin on a busy machine."""


@pytest.fixture(scope="module")
def address(shop) -> Iterator[str]:
    """The server, a process of its own, with the model of the shop."""
    grpc_port, rest_port = free_ports()
    flags = [f"--port={grpc_port}", f"--rest_api_port={rest_port}", "--model_name=shop"]
    base = f"--model_base_path={pathlib.Path(shop.model).parent}"
    command = [sys.executable, "-m", "podway.export.server", base, *flags]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{rest_port}/v1/models/shop"
    try:
        end = time.monotonic() + MOST
        while True:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server does not begin"
            try:
                with urllib.request.urlopen(url, timeout=20) as answer:
                    if "AVAILABLE" in answer.read().decode():
                        break
            except (urllib.error.URLError, ConnectionError):
                pass
            time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


def raw_histories() -> dict[str, list[str]]:
    """What a gateway would have of each user before the test's last event."""
    found: dict[str, list[str]] = {}
    for user, item, _ in sorted(world.events(), key=lambda event: event[2]):
        found.setdefault(user, []).append(item)
    return {user: items[:-1] if len(items) >= 3 else items for user, items in found.items()}


def test_a_server_answers_alike(published, address, tmp_path):
    users = published.known_users()
    source = OfUsers(users, np.arange(len(users)), False)
    predict.predict(published, source, tmp_path / "x", k=K, part=16)
    rows = pq.read_table(tmp_path / "x" / "recommendations").to_pylist()
    made: dict[str, list[dict]] = {}
    for row in rows:
        made.setdefault(row["user"], []).append(row)
    histories = raw_histories()
    assert set(histories) == set(users.names)
    longest = max(map(len, histories.values()))
    names = [*histories]
    padded = [items + [""] * (longest - len(items)) for items in histories.values()]
    request = urllib.request.Request(
        f"{address}:predict", json.dumps({"inputs": {"history": padded}}).encode()
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        served = json.load(response)["outputs"]
    expected = [
        {"values": items, "scores": scores}
        for items, scores in zip(served["item"], served["score"], strict=True)
    ]
    assert len(expected[0]["values"]) == TOP
    for name in names:
        assert [row["rank"] for row in made[name]] == [1, 2, 3, 4, 5]
    items = np.array([[row["item"].encode() for row in made[name]] for name in names], object)
    scores = np.array([[row["score"] for row in made[name]] for name in names])
    compare(expected, "values", items, scores, K, "batch")
