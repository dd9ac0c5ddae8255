"""TLS and mutual TLS over gRPC and REST, with certificates made here."""

import contextlib
import http.client
import socket
import ssl
import time

import grpc
import pytest

from podway.export.server.error import ServerError
from podway.export.server.net import tls
from tests.export.server.conftest import predict_request, running
from tests.export.server.net.keys import Trust, identity, ssl_config


@pytest.fixture(scope="module")
def authority():
    return identity("authority")


@pytest.fixture(scope="module")
def server(authority):
    return identity("server", authority)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "ssl.txt"


@contextlib.contextmanager
def answering(site, file, trust, **options):
    """A server that has answered a client of these credentials, over both APIs."""
    with running(site, trust, ssl_config_file=str(file), **options) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"})
        client.prediction.Predict(predict_request(history=[["a"]]), timeout=20)
        yield client


@pytest.fixture
def one(site):
    site.put(1)
    site.ask_for_versions(1)
    return site


def refused(client, trust=None):
    """Neither API answers such a client."""
    address = f"localhost:{client.grpc_port}"
    with (
        (
            grpc.secure_channel(address, trust.grpc) if trust else grpc.insecure_channel(address)
        ) as channel,
        pytest.raises(grpc.FutureTimeoutError),
    ):
        grpc.channel_ready_future(channel).result(timeout=1.5)
    address = ("127.0.0.1", client.rest_port)
    rest = (
        http.client.HTTPSConnection(*address, timeout=5, context=trust.https)
        if trust
        else http.client.HTTPConnection(*address, timeout=5)
    )
    with contextlib.closing(rest), pytest.raises((OSError, http.client.HTTPException)):
        rest.request("GET", "/v1/models/m")
        rest.getresponse()
    return True


def test_tls_serves_who_trusts_the_authority_and_nobody_in_the_clear(one, file, authority, server):
    file.write_text(ssl_config(server))
    with answering(one, file, Trust(authority)) as client:
        assert refused(client)
        assert refused(client, Trust(identity("another")))


def test_mutual_tls_serves_only_clients_that_the_authority_signed(one, file, authority, server):
    file.write_text(ssl_config(server, authority, verify=True))
    friend, stranger = identity("friend", authority), identity("stranger", identity("another"))
    with answering(one, file, Trust(authority, friend)) as client:
        assert refused(client, Trust(authority))
        assert refused(client, Trust(authority, stranger))
        assert refused(client)


def test_who_begins_no_handshake_is_sent_away(one, file, authority, server):
    file.write_text(ssl_config(server))
    with (
        answering(one, file, Trust(authority), rest_api_header_timeout_in_ms=500) as client,
        socket.create_connection(("127.0.0.1", client.rest_port), timeout=20) as silent,
    ):
        start = time.monotonic()
        assert silent.recv(1) == b""
        assert time.monotonic() - start < 5


def test_rest_takes_nothing_older_than_tls_1_2(one, file, authority, server):
    file.write_text(ssl_config(server))
    with answering(one, file, Trust(authority)) as client:
        assert tls.read(file).context.minimum_version == ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection(("127.0.0.1", client.rest_port), timeout=20) as raw,
            Trust(authority).https.wrap_socket(raw, server_hostname="localhost") as connection,
        ):
            assert connection.version() in ("TLSv1.2", "TLSv1.3")


def test_what_cannot_be_used_names_file_field_and_remedy(file, authority, server):
    other = identity("other", authority)
    mixed = ssl_config(server).replace(
        ssl_config(server).splitlines()[1], ssl_config(other).splitlines()[1]
    )  # another's certificate
    for content, said in [
        (ssl_config(), "server_key is empty: it has to hold the PEM text"),
        ('server_key: "/etc/server.key" server_cert: "x"', "server_key has to hold the PEM text"),
        (ssl_config(server, verify=True), "client_verify needs custom_ca"),
        (mixed, "do not make a pair"),
        ("server_keys: ''", '1:1 .*no field named "server_keys"'),
        ("client_verify: 3", "1:16"),
    ]:
        file.write_text(content)
        with pytest.raises(ServerError, match=said) as raised:
            tls.read(file)
        assert str(raised.value).startswith(f"ssl_config_file {file}")
        assert "PRIVATE KEY-----\n" not in str(raised.value)  # no secret reaches a log


def test_a_damaged_authority_is_named(file, authority, server):
    file.write_text(
        ssl_config(server, authority).replace(
            'custom_ca: "-----BEGIN CERTIFICATE-----', 'custom_ca: "-----BEGIN CERTIFICATE-----AAAA'
        )
    )
    with pytest.raises(ServerError, match="custom_ca is no certificate"):
        tls.read(file)


def test_silent_connections_give_way_to_those_that_speak(one, file, authority, server):
    file.write_text(ssl_config(server))
    with (
        answering(one, file, Trust(authority), max_connections=4) as client,
        contextlib.ExitStack() as stack,
    ):
        address = ("127.0.0.1", client.rest_port)
        silent = [
            stack.enter_context(socket.create_connection(address, timeout=5)) for _ in range(12)
        ]
        assert client.rest("/v1/models/m")[0] == 200
        assert silent[0].recv(1) == b""
        with pytest.raises(TimeoutError):
            silent[-1].recv(1)
