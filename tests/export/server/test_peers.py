"""benchmarks/serving_peers: its arithmetic, its processes, its clients, and one peer."""

import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
import uvloop

from benchmarks import serving
from benchmarks.serving_peers import http2, peers, processes, rounds, table
from benchmarks.serving_peers.__main__ import MODEL, request
from benchmarks.serving_peers.table import Sample


def sample(count: int, milliseconds: float, server: float, seconds: float = 2.0) -> Sample:
    return Sample(seconds, np.full(count, milliseconds / 1e3), server, client=0.5)


def test_ratios_are_of_the_same_round_and_cpu_of_all_requests():
    samples = {
        "ours": [sample(200, 2, 0.2), sample(100, 4, 0.2), sample(20, 30, 0.08)],
        "theirs": [sample(100, 6, 0.4), sample(50, 8, 0.2), sample(20, 30, 0.08)],
    }
    ours, theirs = table.rows(samples, "ours")
    assert (ours.rate_ratio, ours.p99_ratio, ours.server_ratio) == (1, 1, 1)
    assert (ours.rate, theirs.rate) == (50, 25)
    assert (theirs.p50, theirs.p99) == pytest.approx((8, 8))
    assert theirs.rate_ratio == 2  # of 2, 2 and 1, whatever disturbed the third round
    assert theirs.p99_ratio == pytest.approx(1 / 2)  # of 1/3, 1/2 and 1
    assert ours.server == pytest.approx(1e3 * 0.48 / 320)
    assert theirs.server == pytest.approx(1e3 * 0.68 / 170)
    assert theirs.server_ratio == pytest.approx(4 / 1.5)
    assert table.best([ours, theirs], ["theirs"]) is theirs
    cells = table.line(theirs, 8).split("|")
    assert len(cells) == len(table.heading().splitlines()[0].split("|"))
    assert cells[2:4] == [" 8 ", " 25 "]


def test_a_tree_is_what_a_process_has_begun():
    text = "{} (a) (b) S {} 0 0 0 0 0 0 0 0 0 300 200 9 9"
    stats = [
        processes.Stat.of(pid, text.format(pid, parent))
        for pid, parent in ((5, 4), (4, 2), (3, 1), (2, 1))
    ]
    assert [stat.pid for stat in processes.below(2, stats)] == [2, 4, 5]
    assert stats[0].cpu == pytest.approx(500 * processes.TICK)


def lives(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of it until somebody asks."""
    stat = pathlib.Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_cpu_of_children_counts_and_none_outlives_the_block():
    burn = "import time\nwhile time.process_time() < 0.3: pass\ntime.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    with processes.running([sys.executable, "-c", code]) as process:
        while processes.cpu_seconds(process.pid) < 0.3:
            assert process.poll() is None
        below = [stat.pid for stat in processes.tree(process.pid)]
        processes.pause(process.pid)  # even from one that stands still
    assert len(below) == 2
    end = time.monotonic() + 10
    while any(map(lives, below)):
        assert time.monotonic() < end


def test_a_peer_that_answers_otherwise_is_said_to():
    ours = [{"item": ["a", "b"], "score": [2.0, 1.0]}]
    peers.check("x", [{"item": ["a", "b"], "score": [2.0000001, 1.0]}], ours)
    for other in (
        {"item": ["b", "a"], "score": [2.0, 1.0]},
        {"item": ["a", "b"], "score": [2, 1.1]},
    ):
        with pytest.raises(peers.PeerError, match="x: row 0 has"):
            peers.check("x", [other], ours)


def test_a_peer_that_cannot_be_installed_says_why(tmp_path, monkeypatch):
    def fail(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "first\nno such package")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(peers.PeerError, match="ray cannot be installed: no such package"):
        peers.environment(peers.PEERS[-1], tmp_path, "2.21.0")


def test_raw_frames_are_answered_and_a_status_is_an_error(client):
    histories = [[b"a", b"b"] * (1 + number % 500) for number in range(serving.REQUESTS)]
    address = f"127.0.0.1:{client.grpc_port}"
    _, latencies = uvloop.run(http2.load(address, "m", histories, 3, 0.3, rows=8))
    assert len(latencies) >= 3
    with pytest.raises(ValueError, match="fewer rows"):
        uvloop.run(http2.load(address, "m", histories, 1, 0.3, rows=100))
    with pytest.raises(RuntimeError, match="the call failed"):
        uvloop.run(http2.load(address, "none", histories, 1, 0.3))


def test_a_server_that_fails_is_left_out_and_the_others_go_on(capsys):
    asked = []

    async def answers(*, concurrency, seconds, begin):
        asked.append(concurrency)
        begin()
        return seconds, np.ones(3)

    async def fails(*, concurrency, seconds, begin):
        if concurrency == 8:
            raise ConnectionResetError("it has gone")
        return await answers(concurrency=concurrency, seconds=seconds, begin=begin)

    with processes.running(["sleep", "60"]) as one, processes.running(["sleep", "60"]) as two:
        servers = [rounds.Server("a", one.pid, answers), rounds.Server("b", two.pid, fails)]
        found = rounds.measure(servers, [1, 8], rounds=2, seconds=1)
    assert {number: list(of) for number, of in found.items()} == {1: ["a"], 8: ["a"]}
    assert [len(of["a"]) for of in found.values()] == [2, 2]
    assert asked == [1, 1, 8, 1, 8]
    assert "left out: b at 8: it has gone" in capsys.readouterr().err


@pytest.mark.slow
def test_fastapi_answers_as_the_server_does(tmp_path):
    for package in ("fastapi", "uvicorn"):
        pytest.importorskip(package)
    with serving.running_server(serving.write_model(tmp_path)) as own:
        histories = serving.sample_histories(own.grpc, MODEL)
        ask, here = request(histories[:3]), pathlib.Path(sys.prefix)
        model = str(tmp_path / MODEL / "1")
        with peers.running(peers.FASTAPI, here, tmp_path / "peer", ask, model=model) as peer:
            peers.check("fastapi", ask.answer(peer.address), ask.answer(own.rest))
            server = rounds.Server(
                "fastapi",
                peer.pid,
                lambda **how: serving.rest_load(peer.address, MODEL, histories, **how),
            )
            found = rounds.measure([server], [2], rounds=1, seconds=0.5)[2]["fastapi"][0]
    assert found.server > 0
    assert len(found.latencies) > 2
