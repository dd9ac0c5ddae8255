import dataclasses
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from podway.export.server import command, text_proto
from podway.export.server.batching import parameters
from podway.export.server.net import monitoring
from podway.export.server.options import BatchingOptions, ListenOptions, ServerOptions
from podway.export.versions import models_config
from podway.launch.monitor.alerts import serving
from podway.launch.targets import server
from podway.launch.targets.cloud_run.deployed import Deployed
from podway.launch.targets.cloud_run.target import CloudRun
from podway.launch.targets.published import Published

ROWS = Published("m", 3, 1000, (1, 2, 8), False, "0-0")
HISTORIES = dataclasses.replace(ROWS, ragged=True)
OURS = {"host", "workers", "max_batch_size"}
"""Flags that tensorflow_model_server has not."""


def written(run: server.Run, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    for name, text in run.files().items():
        (folder / name).write_text(text)
    return {name: folder / name for name in run.files()}


@pytest.mark.parametrize("kind", ["podway", "tensorflow-serving"])
@pytest.mark.parametrize("published", [ROWS, HISTORIES])
def test_the_files_are_what_a_server_reads(tmp_path, kind, published):
    run = server.Run(kind, published, "/models/m", threads=4, label="stable")
    files = written(run, tmp_path)
    served = models_config.served(files["models.config"], "m")
    assert (served.versions, served.labels) == ((3,), {"stable": 3})
    (model,) = models_config.read(files["models.config"]).model_config_list.config
    assert model.base_path == "/models/m"
    assert monitoring.read(files["monitoring.config"]) == server.METRICS
    assert ("batching.config" in files) == (kind == "podway" or published is ROWS)
    if "batching.config" in files:
        found = parameters.read(files["batching.config"])
        assert found.allowed_batch_sizes == published.batch_buckets
        assert (found.max_batch_size, found.threads, found.timeout) == (8, 4, 0)
        assert found.pad_variable_length_inputs is False


def test_no_file_has_a_field_that_nobody_knows(tmp_path):
    file = written(server.Run("podway", ROWS, "/models/m"), tmp_path)["batching.config"]
    file.write_text(file.read_text() + "max_batch: 3\n")
    with pytest.raises(text_proto.ServerError, match="max_batch"):
        parameters.read(file)


@pytest.mark.parametrize("gpu", [False, True])
def test_flags_are_those_that_the_servers_have(gpu):
    ours = server.Run("podway", ROWS, "/models/m", gpu=gpu, label="stable").command()
    stock = server.Run("tensorflow-serving", ROWS, "/models/m", gpu=gpu, label="stable").command()
    assert ours[0] == "podway-model-server"
    options = command.parse(ours[1:])
    assert (options.host, options.port) == ("0.0.0.0", server.GRPC)
    assert options.enable_batching
    flags = {flag.removeprefix("--").partition("=")[0] for flag in stock[1:]}
    assert stock[0] == "tensorflow_model_server"
    assert flags <= {field.name for field in dataclasses.fields(ServerOptions)} - OURS
    assert {field.name for field in dataclasses.fields(ListenOptions)} >= {"host", "workers"}
    assert "max_batch_size" in {field.name for field in dataclasses.fields(BatchingOptions)}


def test_what_a_pod_runs_serves(tmp_path):
    """The embedded server, run by the script of an instance: probes, metrics, memory, the end."""
    from tests.export.server.conftest import write_model

    write_model(tmp_path / "models" / "m" / "3", 3)
    target = CloudRun(server="podway")
    deployed = Deployed({"stable": HISTORIES}, target, "gs://bucket")
    ports = {str(server.GRPC): str(free_port()), str(server.REST): str(free_port())}
    script, folder = deployed.script("stable"), str(tmp_path / "files")
    for old, new in {**ports, "/tmp/podway": folder}.items():
        script = script.replace(old, new)
    bucket = deployed.run("stable").folder
    own = {
        name: text.replace(bucket, str(tmp_path / "models" / "m"))
        for name, text in deployed.environment("stable").items()
    }
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(["/bin/sh", "-c", script], env={**os.environ, **own, "PATH": path})
    address = f"http://127.0.0.1:{ports[str(server.REST)]}"
    try:
        assert set(until_ready(address + deployed.run("stable").ready)) <= {0, 503}
        assert get(f"{address}/v1/models/m/versions/3")[1].count("AVAILABLE") == 1
        body = b'{"instances": [{"history": ["a", "b"]}]}'
        assert get(f"{address}/v1/models/m:predict", body)[0] == 200
        status, page = get(address + server.METRICS)
        assert status == 200
        for name in (serving.REQUESTS, serving.LATENCY, serving.LOADS):
            assert re.search(rf"^{name}(_bucket)?{{", page, re.MULTILINE), name
        assert resident(process.pid) < HISTORIES.memory
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0  # the shell has become the server


def until_ready(url: str) -> list[int]:
    """Asks until the answer is 200. Returns what it was before; 0: none."""
    seen, start = [], time.monotonic()
    while time.monotonic() - start < 120:
        status = get(url)[0]
        if status == 200:
            return seen
        seen.append(status)
        time.sleep(0.1)
    raise AssertionError(f"not ready: {sorted(set(seen))}")


def get(url: str, body: bytes | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, body, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def resident(pid: int) -> int:
    """Bytes of memory at the highest."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    (peak,) = re.findall(r"VmHWM:\s+(\d+)", text)
    return 1024 * int(peak)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
