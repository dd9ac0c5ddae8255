"""--workers: several processes answer as one server does."""
# pyright: reportAttributeAccessIssue=false
# (protobuf's generated modules make their classes at run time)

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from podway.export.server import metrics
from podway.export.server.error import ServerError
from podway.export.server.net import ports
from podway.export.server.options import ServerOptions
from podway.export.server.siblings import METRICS, SERVICE, State, tells_more
from tests.export.server.conftest import ROOT, Client, Site, free_port, predict_request
from tests.export.server.models.test_reload import fails, model, models
from tests.export.server.net.keys import Trust, identity, ssl_config

REQUESTS = 'request_count{model_name="m",status="OK"} '


class Team:
    """A server of two workers, whose clients need this trust, if any."""

    def __init__(
        self,
        process: subprocess.Popen,
        root: pathlib.Path,
        ports: tuple[int, int],
        trust: Trust | None,
    ):
        self.process, self.root, self.trust = process, root, trust
        self.grpc_port, self.rest_port = ports
        self.https = trust and trust.https

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """A client with a connection of its own, which either worker may get."""
        alone = [("grpc.use_local_subchannel_pool", 1)]
        address = f"127.0.0.1:{self.grpc_port}"
        with (
            grpc.secure_channel(address, self.trust.grpc, options=alone)
            if self.trust
            else grpc.insecure_channel(address, options=alone)
        ) as channel:
            yield Client(self.grpc_port, self.rest_port, channel, self.https)

    def version(self) -> str:
        with self.client() as client:
            answer = client.prediction.Predict(predict_request(history=[["a"]]), timeout=30)
        return answer.outputs["item"].string_val[1].decode()

    def page(self) -> str:
        scheme = "https" if self.https else "http"
        url = f"{scheme}://127.0.0.1:{self.rest_port}/monitoring/prometheus/metrics"
        with urllib.request.urlopen(url, timeout=30, context=self.https) as answer:
            return answer.read().decode()

    def own_page(self, worker: int) -> str:
        """What one worker has counted."""
        (folder,) = (self.root / "tmp").glob("podway-*")
        with grpc.insecure_channel(f"unix:{folder}/{worker}") as channel:
            return channel.unary_unary(f"/{SERVICE}/{METRICS}")(b"", timeout=30).decode()

    def workers(self) -> list[int]:
        """Their process ids."""
        path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def log(self) -> str:
        return (self.root / "log").read_text()


@contextlib.contextmanager
def served(site: Site, *flags: str, trust: Trust | None = None) -> Iterator[Team]:
    (site.root / "tmp").mkdir()
    monitoring = site.root / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    command = [
        *(sys.executable, "-m", "podway.export.server", f"--model_config_file={site.config}"),
        *("--workers=2", "--port=any", "--rest_api_port=any", "--max_num_load_retries=0"),
        f"--monitoring_config_file={monitoring}",
        *flags,
    ]
    with (site.root / "log").open("w") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, stderr=file, env={**os.environ, "TMPDIR": str(site.root / "tmp")}
        )
    try:
        pattern = r"serving on gRPC \S+:(\d+), REST \S+:(\d+), by 2 processes"
        while not (match := re.search(pattern, (site.root / "log").read_text())):
            assert process.poll() is None, (site.root / "log").read_text()
            time.sleep(0.05)
        yield Team(process, site.root, (int(match[1]), int(match[2])), trust)
    finally:
        process.kill()
        process.wait()


def count(page: str, sample: str) -> int:
    found = re.search(re.escape(sample) + r"(\d+)", page)
    return int(found[1]) if found else 0


def gone(pids: list[int]) -> bool:
    end = time.monotonic() + 30
    while any(pathlib.Path(f"/proc/{pid}/exe").exists() for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(scope="module")
def team(tmp_path_factory, library) -> Iterator[Team]:
    """Mutual TLS: its clients may replace the config."""
    root = tmp_path_factory.mktemp("workers")
    (root / "m").mkdir()
    site = Site(root, library)
    site.put(1)
    site.put(2)
    site.ask_for_versions(1)
    authority = identity("authority")
    keys = root / "ssl.config"
    keys.write_text(ssl_config(identity("server", authority), authority, verify=True))
    flags = (f"--ssl_config_file={keys}", "--enable_model_management")
    with served(site, *flags, trust=Trust(authority, identity("operator", authority))) as team:
        yield team
        workers = team.workers()
        team.process.send_signal(signal.SIGTERM)
        assert team.process.wait(timeout=60) == 0, team.log()
        assert gone(workers)
        assert "Traceback" not in team.log(), team.log()
        assert not list((root / "tmp").glob("podway-*"))


def test_connections_are_spread_and_any_worker_tells_what_all_have_counted(team):
    before = count(team.page(), REQUESTS)
    for _ in range(40):
        assert team.version() in ("v1", "v2")
    assert count(team.page(), REQUESTS) - before == 40
    own = [count(team.own_page(worker), REQUESTS) for worker in (0, 1)]
    assert min(own) > 0, own
    assert sum(own) == before + 40
    assert {team.page().count("# TYPE") for _ in range(8)} == {len(metrics.KINDS)}


def test_both_follow_a_reload_before_it_is_answered(team):
    site = Site(team.root, {})
    for version in (2, 1, 2):
        with team.client() as client:
            policy = f"specific {{ versions: {version} }}"
            asked = models(model(site, policy=policy))
            asked.metric_names.append("/tensorflow/serving/request_count")
            answer = client.model.HandleReloadConfigRequest(asked, timeout=60)
            assert len(answer.metric) == 1
        assert {team.version() for _ in range(12)} == {f"v{version}"}


def test_a_reload_of_a_folder_elsewhere_is_refused_by_any(team, tmp_path):
    for _ in range(8):
        with team.client() as client:
            fails(
                lambda: client.model.HandleReloadConfigRequest(
                    models(model(Site(tmp_path, {}))), timeout=60
                ),
                grpc.StatusCode.PERMISSION_DENIED,
                f"model m: base_path {tmp_path}/m does not lie below {team.root}",
            )


def test_a_reload_that_cannot_be_followed_is_refused(team):
    with team.client() as client:
        label = 'version_labels { key: "canary" value: 9 }'
        wrong = models(model(Site(team.root, {}), more=label))
        fails(
            lambda: client.model.HandleReloadConfigRequest(wrong, timeout=60),
            grpc.StatusCode.FAILED_PRECONDITION,
            "label 'canary'",
        )
    assert len({team.version() for _ in range(8)}) == 1


def test_status_and_health_are_of_both(team):
    with team.client() as client:
        health = health_pb2_grpc.HealthStub(client.channel)
        client.wait_for(lambda: health.Check(health_pb2.HealthCheckRequest()).status == 1)
        assert "AVAILABLE" in client.states().values()


def test_a_worker_that_ends_by_itself_ends_the_server(site):
    site.put(1)
    site.ask_for_versions(1)
    with served(site) as team:
        workers = team.workers()
        assert len(workers) == 2
        os.kill(workers[1], signal.SIGKILL)
        assert team.process.wait(timeout=60) == 1
        assert gone(workers)
        assert "ended by itself (SIGKILL); all were stopped" in team.log()


def test_workers_end_when_the_supervisor_is_killed(site):
    site.put(1)
    site.ask_for_versions(1)
    with served(site) as team:
        workers = team.workers()
        with grpc.insecure_channel(f"127.0.0.1:{team.grpc_port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            stub.Predict(predict_request(signature="slow", turns=1), timeout=30)
            answer = stub.Predict.future(predict_request(signature="slow", turns=500))
            time.sleep(0.2)
            assert not answer.done()
            team.process.kill()
            assert answer.result(timeout=30).outputs["turns"].int_val[0] == 500
        assert gone(workers)


def test_errors_are_one_sentence(site, tmp_path):
    def said(*flags: str) -> str:
        command = [sys.executable, "-m", "podway.export.server", "--workers=2", *flags]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr.splitlines()[-1]

    free = ("--port=any", "--rest_api_port=any")
    assert "no.config does not exist" in said("--model_config_file=no.config", *free)
    site.ask_for_versions(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = said(f"--model_config_file={site.config}", f"--port={port}")
        assert f"gRPC port {port} on 127.0.0.1 is in use" in line
    with pytest.raises(ServerError, match="grpc_socket_path cannot be shared by workers"):
        ServerOptions(
            model_config_file="x", workers=2, grpc_socket_path=str(tmp_path / "s"), port=free_port()
        )
    with pytest.raises(ServerError, match="workers is 0; give 1 or more"):
        ServerOptions(model_config_file="x", workers=0)


def test_a_port_whose_connections_have_just_ended_can_be_shared():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            listener.accept()[0].close()  # the first to close keeps the port in TIME_WAIT
            assert client.recv(1) == b""
    with ports.shared("gRPC", "--port", "127.0.0.1", port) as number:
        assert number == port


def test_pages_are_added_sample_by_sample():
    one, other = metrics.Metrics(), metrics.Metrics()
    both = metrics.Metrics()
    for each in (one, both):
        each.answered("a b", "OK")
        each.took("a b", "Predict", "GRPC", 20e-6)
    for each in (other, both):
        each.answered("n", "OK")
        each.answered("a b", "OK")
        each.took("a b", "Predict", "GRPC", 0.5e-6)
    assert sorted(metrics.sum_pages(one.page(), other.page()).split("\n")) == sorted(
        both.page().split("\n")
    )
    assert metrics.sum_pages(one.page()) == one.page()


@pytest.mark.parametrize(
    ("one", "other", "merged"),
    [
        ("AVAILABLE", "LOADING", "LOADING"),
        ("AVAILABLE", "START", "START"),
        ("AVAILABLE", "AVAILABLE", "AVAILABLE"),
        ("AVAILABLE", "UNLOADING", "UNLOADING"),
        ("UNLOADING", "END", "END"),
        ("LOADING", "END", "END"),
    ],
)
def test_a_version_is_in_the_state_that_is_behind(one, other, merged):
    for mine, theirs in ((one, other), (other, one)):
        more = tells_more(State.Value(theirs), State.Value(mine))
        assert (theirs if more else mine) == merged
