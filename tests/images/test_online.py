"""The image of the services beside servers: their clients of queues and stores, and no more."""

import pytest

from tests.images import engine

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(3600)]

CLIENTS = (
    "aio_pika, aiohttp, confluent_kafka, gcsfs, google.cloud.bigtable, google.cloud.pubsub, grpc,"
    " hiredis, prometheus_client, psycopg_pool, redis"
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
