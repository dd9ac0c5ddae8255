import pytest

from tests.online.queue import brokers

KINDS = {
    "sqlite": brokers.Sqlite,
    "kafka": brokers.Kafka,
    "pubsub": brokers.Pubsub,
    "rabbitmq": brokers.Rabbitmq,
}
QUICK = ("sqlite",)


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in KINDS],
)
def broker(request, tmp_path_factory):
    """A broker that runs; of each kind one after the other."""
    found = KINDS[request.param](tmp_path_factory.mktemp(request.param))
    found.start()
    try:
        yield found
    finally:
        found.kill()
