"""The image of the services beside servers: their clients of queues and stores, and no more."""

import shutil
import time
import urllib.error
import urllib.request

import pytest

from podway.launch import demo, experiments
from podway.launch.targets import frozen
from tests.cluster.control_plane import free_ports
from tests.images import engine
from tests.images.serving import WORKDIR

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(3600)]

CLIENTS = (
    "aio_pika, aiohttp, confluent_kafka, farmhash, gcsfs, google.cloud.bigtable,"
    " google.cloud.pubsub, grpc, hiredis, numpy, orjson, prometheus_client, psycopg_pool,"
    " pyarrow.parquet, redis, uvloop"
)
"""By the names that their extras bring them for."""


def test_it_is_podway_with_clients_of_queues_and_stores(image):
    told = engine.container(image("online"), name="podway-online-help")
    assert told.stdout.strip() == "0", told.stderr
    assert "usage: podway" in told.stderr
    ask = f"import {CLIENTS}; import podway.online; print('all there')"
    said = engine.container(
        image("online"), "-c", ask, name="podway-online", entrypoint="/opt/podway/bin/python"
    )
    assert said.stdout.strip() == "0", said.stderr
    assert "all there" in said.stderr


@pytest.mark.parametrize("package", ["jax", "tensorflow", "apache_beam", "pip"])
def test_it_has_nothing_that_trains_or_serves(image, package):
    said = engine.container(
        image("online"),
        *("-c", f"import {package}"),
        name=f"podway-online-{package.replace('_', '-')}",
        entrypoint="/opt/podway/bin/python",
    )
    assert said.stdout.strip() == "1"
    assert "ModuleNotFoundError" in said.stderr


SERVICES = {"lander": [], "nearline": [], "gateway": ["--port", "0", "--grpc-port", "0"]}
"""Service → its further options."""


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_ready_and_ends_well_when_asked(image, tmp_path, service):
    """By the command of its pod, on the frozen experiment; queue and store are files here."""
    for path, content in frozen.freeze(experiments.load(demo.MODEL)).files.items():
        (tmp_path / path).write_bytes(content)
    shutil.chown(tmp_path, engine.NOBODY)
    (port,) = free_ports(1)
    command = [service, str(WORKDIR / frozen.FILE), "--workdir", str(WORKDIR)]
    command += ["--page-port", str(port), *SERVICES[service]]
    with engine.running(
        image("online"), *command, name=f"podway-{service}", mounts={tmp_path: WORKDIR}
    ) as container:
        ready = wait_for(f"http://127.0.0.1:{port}/readyz")
        code = container.stop()
    assert ready, container.said[-3000:]
    assert code == "0", container.said[-3000:]
    assert "Traceback" not in container.said


def wait_for(url: str, seconds: float = 120) -> bool:
    """Whether a page answers with 200 within that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    return False
