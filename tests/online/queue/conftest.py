import pytest

from tests.online.queue import brokers, servers

KINDS = {
    "sqlite": brokers.Sqlite,
    "kafka": brokers.Kafka,
    "pubsub": brokers.Pubsub,
    "rabbitmq": brokers.Rabbitmq,
    "rabbitmq-streams": brokers.RabbitmqStreams,
    "google-pubsub": brokers.GooglePubsub,
}
SLOW, EXTENSIVE = (pytest.mark.slow,), (pytest.mark.slow, pytest.mark.extensive)
MARKS = dict.fromkeys(KINDS, SLOW) | {"sqlite": (), "google-pubsub": EXTENSIVE}


@pytest.fixture(scope="session")
def rabbitmq_node(tmp_path_factory):
    """A node that runs, and its address."""
    node = servers.rabbitmq(tmp_path_factory.mktemp("rabbitmq"))
    node[0].start()
    try:
        yield node
    finally:
        node[0].kill()


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=MARKS[kind]) for kind in KINDS],
)
def broker(request, tmp_path_factory):
    """A broker that runs; of each kind one after the other."""
    kind = KINDS[request.param]
    if issubclass(kind, brokers.Rabbitmq):
        yield kind(request.getfixturevalue("rabbitmq_node"))
        return
    found = kind(tmp_path_factory.mktemp(request.param))
    found.start()
    try:
        yield found
    finally:
        found.kill()
