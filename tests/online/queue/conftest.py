import pytest

from tests.online.queue import brokers

KINDS = {
    "sqlite": brokers.Sqlite,
    "kafka": brokers.Kafka,
    "pubsub": brokers.Pubsub,
    "rabbitmq": brokers.Rabbitmq,
    "google-pubsub": brokers.GooglePubsub,
}
SLOW, EXTENSIVE = (pytest.mark.slow,), (pytest.mark.slow, pytest.mark.extensive)
MARKS = dict.fromkeys(KINDS, SLOW) | {"sqlite": (), "google-pubsub": EXTENSIVE}


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=MARKS[kind]) for kind in KINDS],
)
def broker(request, tmp_path_factory):
    """A broker that runs; of each kind one after the other."""
    found = KINDS[request.param](tmp_path_factory.mktemp(request.param))
    found.start()
    try:
        yield found
    finally:
        found.kill()
